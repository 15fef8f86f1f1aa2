import { readFileSync } from 'node:fs'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address, type Instruction, type KeyPairSigner } from '@solana/kit'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { splToken } from '../chain/programs.ts'
import { readerOf } from '../chain/reader.ts'
import { httpRpc } from '../chain/rpc.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import { fastestEd25519 } from '../crypto/ed25519.ts'
import { secretKeySender } from '../crypto/signer.ts'
import { signerOf } from '../fixtures/payments.ts'
import { sendBy } from '../fixtures/sending.ts'
import {
  channelAddress,
  channelsProgram,
  distributeInstruction,
  distributionHash,
  eventAuthority,
  openInstruction,
  readChannelAccount,
  settleAndSealInstruction,
} from './program.ts'
import {
  decodeVoucher,
  encodeVoucher,
  isProgramVoucher,
  type SignedProgramVoucher,
  settleable,
  voucherCheckInstruction,
  withProgramVoucher,
} from './voucher.ts'

// wire.md §20, V4.
const known = {
  payer: '9xAXssX9j7vuK99c7cFwqbixzL3bFrzPy9PUhCtDPAYJ',
  payee: '2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4',
  mint: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
  authorizedSigner: '9xAXssX9j7vuK99c7cFwqbixzL3bFrzPy9PUhCtDPAYJ',
  salt: 1n,
  openSlot: 100n,
}
const session = secretKeySender(new Uint8Array(32).fill(3))

describe('the program’s public facts', () => {
  it('derive the published channel and event authority, and write the published voucher', () => {
    verifies('FS1-CHANNELS-FACTS')
    const channelId = channelAddress(known)
    expect(channelId).toBe('G1NLckZn3NouKPiEmoq2Qvtmias9eatfVRQGkyCbmsAJ')
    expect(eventAuthority).toBe('75c2huVzDW1Eq4kD86by5392sjdJzuAT195XNgP2f2tX')
    const bytes = encodeVoucher({ channelId, cumulative: 1000n, expiresAt: 1_700_000_000n })
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '5601def76e5bf2ac5980c67aa82838d0d4c64da2a9cb9051151fe568468b24c50283e80300000000000000f1536500000000',
    )
  })

  it('make a voucher that reads back, and bytes that are none read as nothing', () => {
    verifies('FS1-CHANNELS-FACTS')
    const amount = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), amount, time, (id, cumulative, expiresAt) => {
        const voucher = { channelId: encodeBase58(id), cumulative, expiresAt }
        expect(decodeVoucher(encodeVoucher(voucher))).toEqual(voucher)
      }),
    )
    const bytes = encodeVoucher({ channelId: known.payer, cumulative: 1n, expiresAt: 0n })
    for (const other of [bytes.subarray(1), Uint8Array.of(...bytes, 0), bytes.map((byte, at) => (at < 2 ? byte ^ 1 : byte))])
      expect(decodeVoucher(other)).toBeUndefined()
  })

  it('write the instructions as they are published', () => {
    verifies('FS1-CHANNELS-FACTS')
    const shares = [{ recipient: known.payee, bps: 10_000 }]
    const opening = openInstruction({ ...known, rentPayer: known.payee, deposit: 50_000n, gracePeriod: 900, shares })
    expect(opening.accounts?.length).toBe(14)
    expect(Buffer.from(opening.data ?? []).toString('hex')).toBe(
      `01${'0100000000000000'}${'50c3000000000000'}${'84030000'}${'6400000000000000'}${'01000000'}${Buffer.from(addressBytes(known.payee) ?? []).toString('hex')}1027`,
    )
    expect(settleAndSealInstruction({ payee: known.payee, channel: known.payer, hasVoucher: true }).data).toEqual(Uint8Array.of(4, 1))
    const common = { ...known, channel: known.payer, rentPayer: known.payee, shares }
    expect(distributeInstruction({ ...common, network: 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1' })?.accounts?.length).toBe(12)
    expect(distributeInstruction({ ...common, network: 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z' })).toBeUndefined()
    expect(readChannelAccount({ owner: splToken.address, data: new Uint8Array(256).fill(1) })).toBeUndefined()
  })
})

describe('vouchers of the program', () => {
  const voucher = { channelId: channelAddress(known), cumulative: 1000n, expiresAt: 1_700_000_000n }
  const signed = async (change: Partial<typeof voucher> = {}): Promise<SignedProgramVoucher> => {
    const one = { ...voucher, ...change }
    return { ...one, signature: await session.sign(encodeVoucher(one)) }
  }

  it('are their key’s, for their channel and amount, until they expire', async () => {
    verifies('T13')
    const good = await signed()
    const judge = (one: SignedProgramVoucher, signer = session.address, now = 1_699_999_999n) =>
      isProgramVoucher(one, { signer, now, ed25519: fastestEd25519() })
    expect(await judge(good)).toBe(true)
    expect(await judge(good, session.address, 1_700_000_000n)).toBe(false)
    expect(await judge(good, known.payer)).toBe(false)
    expect(await judge({ ...good, cumulative: 1001n })).toBe(false)
    expect(await judge({ ...good, channelId: known.payer })).toBe(false)
    expect(await judge({ ...good, expiresAt: 0n })).toBe(false)
    expect(await judge(await signed({ expiresAt: 0n }), session.address, 9_999_999_999n)).toBe(true)
  })

  it('are kept eight at a time, and the one that is settled was consumed to its end', async () => {
    verifies('FS1-CHANNELS-RING')
    const all = await Promise.all(Array.from({ length: 12 }, (_, at) => signed({ cumulative: BigInt(at + 1) * 100n })))
    const ring = all.toReversed().reduce<readonly SignedProgramVoucher[]>(withProgramVoucher, [])
    expect(ring.map(({ cumulative }) => cumulative)).toEqual([500n, 600n, 700n, 800n, 900n, 1000n, 1100n, 1200n])
    expect(settleable(ring, { consumed: 999n, settled: 0n })?.cumulative).toBe(900n)
    expect(settleable(ring, { consumed: 1000n, settled: 0n })?.cumulative).toBe(1000n)
    expect(settleable(ring, { consumed: 1000n, settled: 1000n })).toBeUndefined()
    expect(settleable(ring, { consumed: 499n, settled: 0n })).toBeUndefined()
  })
})

describe('on a chain', () => {
  let local: SolanaChain
  let facilitator: KeyPairSigner
  beforeAll(async () => {
    local = await startSolanaChain({ slotTime: 0 })
    facilitator = await signerOf(local.facilitator)
  })
  afterAll(() => local?.stop())
  const send = (instructions: readonly Instruction[], signers: readonly KeyPairSigner[] = []) =>
    sendBy(local, { instructions, signers: [facilitator, ...signers] })

  it('the Ed25519 program takes a voucher as it was signed, and none with a bit flipped anywhere', async () => {
    verifies('T25')
    const one = { channelId: channelAddress(known), cumulative: 123_456n, expiresAt: 0n }
    const check = voucherCheckInstruction({ ...one, signature: await session.sign(encodeVoucher(one)) }, session.address)
    expect(await send([check])).toBe('taken')
    const data = check.data ?? new Uint8Array()
    for (const at of [16, 47, 48, 111, 112, 146, 161]) {
      const flipped = Uint8Array.from(data, (byte, index) => (index === at ? byte ^ 1 : byte))
      expect(await send([{ ...check, data: flipped }]), `byte ${at}`).toBe('refused')
    }
  })

  const binary = process.env.FLOW402X_CHANNELS_SO ?? ''
  const why = binary === '' ? ' (skipped: FLOW402X_CHANNELS_SO names no binary of the payment-channels program, and none is published)' : ''
  it.skipIf(binary === '')(`opens, settles a ring voucher at or below what was consumed, seals and distributes${why}`, async () => {
    verifies('T25')
    await local.addProgram(address(channelsProgram), readFileSync(binary))
    const payer = await signerOf(local.buyer)
    const treasury = address('4zTeC5mVqWLruDexgU2mV66p9t5vCA9JyiZqdGDUspap')
    await local.createTokenAccount(treasury)
    await local.createTokenAccount(address(local.facilitator.address))
    const seeds = {
      payer: payer.address,
      payee: facilitator.address,
      mint: local.usdc.address,
      authorizedSigner: session.address,
      salt: 7n,
      openSlot: await local.advance(40),
    }
    const shares = [{ recipient: local.seller.address, bps: 10_000 }]
    const channel = channelAddress(seeds)
    const opening = openInstruction({ ...seeds, rentPayer: facilitator.address, deposit: 1_000_000n, gracePeriod: 900, shares })
    expect(await send([opening], [payer])).toBe('taken')
    const read = async () => {
      const account = await readerOf(httpRpc({ url: local.rpcUrl, fetch, timeoutMs: 5000 })).account(channel)
      return account && readChannelAccount(account)
    }
    expect(await read()).toMatchObject({
      status: 'open',
      deposit: 1_000_000n,
      settled: 0n,
      distributionHash: distributionHash(shares),
      ...seeds,
    })
    const signedFor = async (cumulative: bigint): Promise<SignedProgramVoucher> => {
      const one = { channelId: channel, cumulative, expiresAt: 0n }
      return { ...one, signature: await session.sign(encodeVoucher(one)) }
    }
    const ring = (await Promise.all([100_000n, 200_000n, 300_000n].map(signedFor))).reduce<readonly SignedProgramVoucher[]>(
      withProgramVoucher,
      [],
    )
    const due = settleable(ring, { consumed: 250_000n, settled: 0n })
    if (due === undefined) throw new Error('nothing is due')
    const sealing = settleAndSealInstruction({ payee: facilitator.address, channel, hasVoucher: true })
    const paying = distributeInstruction({ ...seeds, network: local.network, channel, rentPayer: facilitator.address, shares })
    if (paying === undefined) throw new Error('no treasury')
    const before = await local.balanceOf(local.seller.address)
    expect(await send([voucherCheckInstruction(due, session.address), sealing, paying])).toBe('taken')
    expect((await local.balanceOf(local.seller.address)) - before).toBe(200_000n)
    const escrow = associatedTokenAddress({
      owner: addressBytes(channel) ?? new Uint8Array(32),
      mint: addressBytes(local.usdc.address) ?? new Uint8Array(32),
      program: splToken.bytes,
    })
    expect(await read()).toMatchObject({ settled: 200_000n })
    expect(escrow).not.toBe(channel)
  })
})
