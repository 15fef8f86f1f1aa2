import { verifies } from '@flow402x/testing/requirements'
import {
  address,
  appendTransactionMessageInstructions,
  createNoopSigner,
  createTransactionMessage,
  getCompiledTransactionMessageDecoder,
  type Instruction,
  type Nonce,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingDurableNonce,
} from '@solana/kit'
import { getTransferCheckedInstruction } from '@solana-program/token'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeBase58 } from '../chain/base58.ts'
import { decodeTransaction } from '../chain/transaction.ts'
import { fastestEd25519, webEd25519 } from '../crypto/ed25519.ts'
import { secretKeySender } from '../crypto/signer.ts'
import { accountsOf, channelFrom, type NonceChannel, textOf } from './channel.ts'
import { isVoucher, readVoucher, voucherMessage, voucherTransaction } from './voucher.ts'

const keyOf = (fill: number) => secretKeySender(new Uint8Array(32).fill(fill))
const channel: NonceChannel = {
  payer: keyOf(1).address,
  session: keyOf(2).address,
  nonceAuthority: keyOf(3).address,
  receiver: keyOf(4).address,
  asset: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
  salt: '000102030405060708090a0b0c0d0e0f',
}
const voucher = { nonce: encodeBase58(new Uint8Array(32).fill(9)), amount: 190_000n, decimals: 6 }

describe('the message of a voucher', () => {
  it('is these bytes, whoever builds them', () => {
    verifies('FS1-NONCE-VECTOR')
    expect(accountsOf(channel)).toMatchInlineSnapshot(`
      {
        "destination": "HfP3RZibPCj2EdqEyR7mSkKYSUzFPKsbRrMoR4i1mbmd",
        "id": "12y1LSRyMXDf7rbDHEWR2drduU8B9PzXMToZhshA5mhb",
        "multisig": "9xc9rwkmTRm78HP62zX85Wp7GqHY2eXj1fxAFGsBk9FS",
        "purse": "DHb3dcEfz5aoZSQVVyiYsMswiyjk9Z4cb6kRTfVpXFhy",
      }
    `)
    const message = voucherMessage(channel, voucher)
    expect(message.length).toBe(388)
    expect(Buffer.from(message).toString('hex')).toMatchInlineSnapshot(
      `"800201050aed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d18139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3940080e82069882c51cd6660eded8af6e1fe453ab1e1aac701ffd44b202ce09b12b68c0801d9d530f09ad48e35d55d1e1fe76c2a118d9c962f7b3da6cf8a52dde0f78ffbfa8fe8df4cc3915c92c3ed0c0825e2eef6f45245600464d21bbfa04724851c2ff1bca3a6b3a116b12f62faa2b531c7800fc2c87cbf5666bce5eb5b94bd3b442cb3912157f13a933d0134282d032b5ffecd01a2dbf1b7790608df002ea7000000000000000000000000000000000000000000000000000000000000000006ddf6e1d765a193d9cbe146ceeb79ac1cb485ed5f5b37913a8cf5857eff00a906a7d517192c568ee08a845f73d29788cf035c3145b21ab344d8062ea94000000909090909090909090909090909090909090909090909090909090909090909020703020900040400000008060306040501000a0c30e60200000000000600"`,
    )
  })

  it('is what kit reads as an advance of the nonce and a checked transfer by the multisig, signed by two', () => {
    verifies('FS1-NONCE-VECTOR')
    const { id, purse, multisig, destination } = accountsOf(channel)
    const [session, authority] = [address(channel.session), address(channel.nonceAuthority)]
    const transfer = getTransferCheckedInstruction({
      source: address(purse),
      mint: address(channel.asset),
      destination: address(destination),
      authority: address(multisig),
      amount: voucher.amount,
      decimals: 6,
      multiSigners: [createNoopSigner(session), createNoopSigner(authority)],
    })
    const meant = pipe(
      createTransactionMessage({ version: 0 }),
      (empty) => setTransactionMessageFeePayer(authority, empty),
      (paid) =>
        setTransactionMessageLifetimeUsingDurableNonce(
          // A nonce of 32 bytes in base58.
          { nonce: voucher.nonce as Nonce, nonceAccountAddress: address(id), nonceAuthorityAddress: authority },
          paid,
        ),
      (dated) => appendTransactionMessageInstructions([transfer], dated),
    )
    const instructions: readonly Instruction[] = meant.instructions
    const built = getCompiledTransactionMessageDecoder().decode(voucherMessage(channel, voucher))
    if (built.version !== 0) throw new Error('no v0 message')
    expect(built.header).toEqual({ numSignerAccounts: 2, numReadonlySignerAccounts: 1, numReadonlyNonSignerAccounts: 5 })
    expect(built.lifetimeToken).toBe(voucher.nonce)
    expect(
      built.instructions.map(({ programAddressIndex, accountIndices = [], data }) => ({
        program: built.staticAccounts[programAddressIndex],
        accounts: accountIndices.map((index) => built.staticAccounts[index]),
        data: [...(data ?? [])],
      })),
    ).toEqual(
      instructions.map(({ programAddress, accounts = [], data = new Uint8Array() }) => ({
        program: programAddress,
        accounts: accounts.map((one) => one.address),
        data: [...data],
      })),
    )
  })

  it('makes a transaction of 517 bytes that both sides take apart alike', async () => {
    verifies('FS1-NONCE-VECTOR')
    const signature = await keyOf(2).sign(voucherMessage(channel, voucher))
    const bytes = voucherTransaction(channel, { ...voucher, signature })
    expect(bytes.length).toBe(517)
    const read = decodeTransaction(bytes)
    expect(read && readVoucher(channel, read)).toEqual(voucher)
    expect(read && readVoucher({ ...channel, salt: 'f'.repeat(32) }, read)).toBeUndefined()
  })
})

describe('the signature of a voucher', () => {
  it.each([fastestEd25519(), webEd25519])('is the session key’s over that one voucher ($name)', async (ed25519) => {
    verifies('T13')
    const signature = await keyOf(2).sign(voucherMessage(channel, voucher))
    const judge = (change: Partial<typeof voucher & { signature: Uint8Array }>, of = channel) =>
      isVoucher(of, { ...voucher, signature, ...change }, { ed25519 })
    expect(await judge({})).toBe(true)
    expect(await judge({ amount: voucher.amount + 1n })).toBe(false)
    expect(await judge({ nonce: encodeBase58(new Uint8Array(32).fill(8)) })).toBe(false)
    expect(await judge({ decimals: 5 })).toBe(false)
    expect(await judge({ amount: 0n })).toBe(false)
    expect(await judge({ amount: 2n ** 64n + voucher.amount })).toBe(false)
    expect(await judge({ nonce: 'no nonce' })).toBe(false)
    expect(await judge({ signature: signature.subarray(1) })).toBe(false)
    for (const field of ['payer', 'session', 'nonceAuthority', 'receiver', 'asset'] as const)
      expect(await judge({}, { ...channel, [field]: keyOf(77).address })).toBe(false)
    expect(await judge({}, { ...channel, salt: 'f'.repeat(32) })).toBe(false)
    // Half the order of the curve away stands a second S for every signature; validators take one alone.
    const flipped = Uint8Array.from(signature)
    flipped[63] = (flipped[63] ?? 0) ^ 0x10
    expect(await judge({ signature: flipped })).toBe(false)
  })

  it('holds for no other bit', async () => {
    verifies('T13')
    const ed25519 = fastestEd25519()
    const signature = await keyOf(2).sign(voucherMessage(channel, voucher))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 511 }), async (bit) => {
        const other = Uint8Array.from(signature)
        other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(await isVoucher(channel, { ...voucher, signature: other }, { ed25519 })).toBe(false)
      }),
      { numRuns: 200 },
    )
  })
})

it('names a channel by all of its terms, and reads the name back', () => {
  verifies('FS1-NONCE-VECTOR')
  expect(channelFrom(textOf(channel))).toEqual(channel)
  for (const text of ['', textOf(channel).slice(0, -1), `${textOf(channel)}/`, textOf({ ...channel, payer: 'x' })])
    expect(channelFrom(text)).toBeUndefined()
})
