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
import { fastestEd25519 } from '../crypto/ed25519.ts'
import { secretKeySender } from '../crypto/signer.ts'
import { signerOf } from '../fixtures/payments.ts'
import { sendBy } from '../fixtures/sending.ts'
import {
  distributeInstruction,
  openInstruction,
  requestCloseInstruction,
  sealInstruction,
  settleAndSealInstruction,
  settleInstruction,
  topUpInstruction,
  withdrawPayerInstruction,
} from './instructions.ts'
import { channelAddress, channelsProgram, distributionHash, eventAuthority, readChannelAccount } from './program.ts'
import { leavingOf, refuseChannel, settlementOf, sharesOf } from './settlement.ts'
import { decodeVoucher, encodeVoucher, isProgramVoucher, type SignedProgramVoucher, voucherCheckInstruction } from './voucher.ts'

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
    // Which of the accounts sign and which change, and the data: `w` writable, `s` signs.
    const written = ({ accounts = [], data = new Uint8Array() }: Instruction) =>
      `${accounts.map(({ role }) => `${role & 1 ? 'w' : ''}${role & 2 ? 's' : ''}` || '-').join(' ')} | ${Buffer.from(data).toString('hex')}`
    expect(
      [
        topUpInstruction({ ...common, amount: 258n }),
        settleInstruction(common.channel),
        requestCloseInstruction(common),
        sealInstruction(common.channel),
        withdrawPayerInstruction(common),
      ].map(written),
    ).toEqual(['ws w w w - - | 030201000000000000', 'w - | 02', 's w | 05', 'w | 06', 's w w w - - | 08'])
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
  it.skipIf(binary === '')(`opens, fills, settles, closes and is left, each as its state allows${why}`, async () => {
    verifies('T25')
    await local.addProgram(address(channelsProgram), readFileSync(binary))
    const payer = await signerOf(local.buyer)
    await local.createTokenAccount(address('4zTeC5mVqWLruDexgU2mV66p9t5vCA9JyiZqdGDUspap'))
    await local.createTokenAccount(address(local.facilitator.address))
    const receiver = local.seller.address
    const terms = { receiver, mint: local.usdc.address, payee: facilitator.address, leastGrace: 900 }
    const reader = readerOf(httpRpc({ url: local.rpcUrl, fetch, timeoutMs: 5000 }))
    const held = () => local.balanceOf(payer.address)
    const earned = () => local.balanceOf(receiver)

    /** A channel of a dollar. */
    const opened = async (salt: bigint) => {
      const openSlot = await local.advance(40)
      const seeds = {
        payer: payer.address,
        payee: facilitator.address,
        mint: local.usdc.address,
        authorizedSigner: session.address,
        salt,
        openSlot,
      }
      const channel = channelAddress(seeds)
      const given = { rentPayer: facilitator.address, deposit: 1_000_000n, gracePeriod: 900, shares: sharesOf({ receiver }) }
      expect(await send([openInstruction({ ...seeds, ...given })], [payer])).toBe('taken')
      const stored = async () => {
        const account = await reader.account(channel)
        const read = account && readChannelAccount(account)
        if (read === undefined) throw new RangeError('no channel')
        return read
      }
      expect(await stored()).toMatchObject({ status: 'open', ...seeds, distributionHash: distributionHash(given.shares) })
      expect(refuseChannel(channel, await stored(), terms)).toBeUndefined()
      const ring = await Promise.all(
        [100_000n, 200_000n, 300_000n].map(async (max) => {
          const signature = await session.sign(encodeVoucher({ channelId: channel, cumulative: max, expiresAt: 0n }))
          return { max, signature: encodeBase58(signature) }
        }),
      )
      const settle = async (consumed: bigint, now = 0n) => {
        const given = { channel, stored: await stored(), network: local.network, receiver, ring, consumed, now, slot: 0n }
        return await send(settlementOf(given))
      }
      const leave = async (now: bigint) => await send(leavingOf({ channel, stored: await stored(), now }), [payer])
      return { channel, stored, settle, leave }
    }

    const one = await opened(7n)
    const before = { payer: await held(), receiver: await earned() }
    expect(await one.settle(250_000n)).toBe('taken')
    expect((await earned()) - before.receiver).toBe(200_000n)
    expect(await one.stored()).toMatchObject({ status: 'open', settled: 200_000n, payoutWatermark: 200_000n })
    const { payer: owner, mint } = await one.stored()
    expect(await send([topUpInstruction({ payer: owner, mint, channel: one.channel, amount: 500_000n })], [payer])).toBe('taken')
    expect(await one.stored()).toMatchObject({ deposit: 1_500_000n })
    // Its payer wants to close: what was consumed since is settled by its payee all the same.
    expect(await one.leave(0n)).toBe('taken')
    expect(await one.stored()).toMatchObject({ status: 'closing' })
    expect(await one.settle(300_000n)).toBe('taken')
    expect((await earned()) - before.receiver).toBe(300_000n)
    expect((await held()) - before.payer).toBe(1_200_000n - 500_000n)

    // A receiver who vanishes keeps nobody's money.
    const other = await opened(8n)
    const left = await held()
    expect(await other.leave(0n)).toBe('taken')
    const { closureStartedAt } = await other.stored()
    await local.increaseTime(901)
    expect(await other.leave(closureStartedAt + 900n)).toBe('taken')
    expect((await held()) - left).toBe(1_000_000n)
  })
})
