import { type PaymentRequirements, parsePrice, type Sighting, type Verdict } from '@flow402x/core'
import { referenceTag } from '@flow402x/core/transfer'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import {
  AccountRole,
  address,
  appendTransactionMessageInstructions,
  createSolanaRpc,
  createTransactionMessage,
  getBase58Decoder,
  getBase64EncodedWireTransaction,
  type Instruction,
  type KeyPairSigner,
  pipe,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from '@solana/kit'
import { getTransferSolInstruction } from '@solana-program/system'
import { findAssociatedTokenPda, getTransferCheckedInstruction, getTransferInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoOf, signerOf } from '../fixtures/payments.ts'
import { transferProofSolanaServer } from '../server.ts'

let local: SolanaChain
let buyer: KeyPairSigner
let other: KeyPairSigner
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  buyer = await signerOf(local.buyer)
  other = await signerOf(local.facilitator)
})
afterAll(() => local?.stop())

const binding = `GET https://shop.test/ ${'00'.repeat(32)}`

async function send(instructions: readonly Instruction[], feePayer = buyer): Promise<string> {
  const chain = createSolanaRpc(local.rpcUrl)
  const { value } = await chain.getLatestBlockhash({ commitment: 'processed' }).send()
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayerSigner(feePayer, empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash(value, paid),
    (dated) => appendTransactionMessageInstructions(instructions, dated),
  )
  const signed = await signTransactionMessageWithSigners(message)
  const signature = await chain.sendTransaction(getBase64EncodedWireTransaction(signed), { encoding: 'base64', skipPreflight: true }).send()
  await local.advance()
  return signature
}

/** What a seller of an asset makes of a transaction: as a verdict, and as what it settles. */
async function judge(asset: string, make: (tag: string, offer: PaymentRequirements) => Promise<string>) {
  const { network, rpcUrl, seller } = local
  const known = asset === 'SOL' ? 'SOL' : { network, address: asset, symbol: 'TOK', decimals: 6, transfer: 'token-2022' as const }
  const scheme = transferProofSolanaServer({
    network,
    rpcUrl,
    payTo: seller.address,
    asset: known,
    secret: 'the secret of a seller on Solana, long enough',
    patience: 0,
  })
  const price = parsePrice(asset === 'SOL' ? '0.001 SOL' : '0.01 TOK')
  const plain = scheme.requirements({ price, kind: undefined, maxTimeoutSeconds: 300, flow: 'upfront' })
  const offer = await scheme.proof?.offer(plain, { binding, now: Math.floor(Date.now() / 1000) })
  if (offer === undefined) throw new TypeError('no offer')
  const reference = String(offer.extra?.reference)
  const tag = getBase58Decoder().decode(await referenceTag(reference))
  const transaction = await make(tag, offer)
  const submission = { payment: { x402Version: 2 as const, accepted: offer, payload: { transaction, reference } }, requirements: offer }
  const verdict: Verdict | undefined = await scheme.verify?.(submission)
  const seen: Sighting | undefined = await scheme.look?.(submission)
  const found = await scheme.proof?.find?.({ ...submission, payment: { ...submission.payment, payload: { reference } } })
  return { verdict, seen, found: found?.payload.transaction, transaction }
}

const coin = (from: KeyPairSigner, amount = 1_000_000n) =>
  getTransferSolInstruction({ source: from, destination: address(local.seller.address), amount })

/** With the tag as a further account, as the payer of this package names it. */
const naming = (instruction: Instruction, tag: string): Instruction => ({
  ...instruction,
  accounts: [...(instruction.accounts ?? []), { address: address(tag), role: AccountRole.READONLY }],
})

describe('a transfer of SOL', () => {
  it('is paid with its tag in a memo, as an account, or as both; by the account it is found', async () => {
    verifies('M22')
    const paid = { verdict: { valid: true, payer: local.buyer.address, extra: { amount: '1000000' } }, seen: { status: 'settled' } }
    expect(await judge('SOL', (tag) => send([coin(buyer), memoOf(tag)]))).toMatchObject({ ...paid, found: undefined })
    for (const memos of [true, false]) {
      const found = await judge('SOL', (tag) => send([naming(coin(buyer), tag), ...(memos ? [memoOf(tag), memoOf('my own note')] : [])]))
      expect(found).toMatchObject({ ...paid, found: found.transaction })
    }
  })

  const refusals: readonly [string, string, (tag: string) => Promise<string>][] = [
    ['two transfers in one', 'not_a_plain_transfer', (tag) => send([coin(buyer, 500_000n), coin(buyer, 500_000n), memoOf(tag)])],
    ['one whose fee another pays', 'not_a_plain_transfer', (tag) => send([coin(buyer), memoOf(tag)], other)],
    ['one with two tags', 'foreign_reference', (tag) => send([coin(buyer), memoOf(tag), memoOf(local.owner.address)])],
    ['one with the tag of another', 'foreign_reference', () => send([coin(buyer), memoOf(local.owner.address)])],
    ['nothing but a memo', 'not_a_plain_transfer', (tag) => send([memoOf(tag)])],
    ['one that failed', 'transaction_failed', (tag) => send([coin(buyer, 10n ** 18n), memoOf(tag)])],
  ]
  it.each(refusals)('is none for %s', async (_, reason, make) => {
    verifies('M23')
    expect(await judge('SOL', make)).toMatchObject({ verdict: { valid: false, reason }, seen: { status: 'notSettled', reason } })
  })

  it('is settled once it is final, where the seller waits for that', async () => {
    const { network, rpcUrl, seller } = local
    const secret = 'the secret of a seller on Solana, long enough'
    const scheme = transferProofSolanaServer({ network, rpcUrl, payTo: seller.address, secret, confirmations: 'finalized' })
    const plain = scheme.requirements({ price: parsePrice('0.001 SOL'), kind: undefined, maxTimeoutSeconds: 300, flow: 'upfront' })
    const offer = (await scheme.proof?.offer(plain, { binding, now: Math.floor(Date.now() / 1000) })) ?? plain
    const reference = String(offer.extra?.reference)
    const transaction = await send([coin(buyer), memoOf(getBase58Decoder().decode(await referenceTag(reference)))])
    const submission = { payment: { x402Version: 2 as const, accepted: offer, payload: { transaction, reference } }, requirements: offer }
    expect(await scheme.look?.(submission)).toMatchObject({ status: 'pending', transaction })
    await local.advance(32)
    expect(await scheme.look?.(submission)).toMatchObject({ status: 'settled', transaction, amount: '1000000' })
  })
})

describe('a transfer of a token', () => {
  /** A transfer of a fresh token of Token-2022; the payee has an account for it. */
  async function tokenOf(fee?: { readonly basisPoints: number; readonly maximum: bigint }) {
    const mint = await local.createMint({ decimals: 6, program: 'spl-token-2022', ...(fee === undefined ? {} : { transferFee: fee }) })
    await local.mint(address(buyer.address), 1_000_000n, { mint })
    await local.createTokenAccount(address(local.seller.address), { mint })
    const tokenProgram = address('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb')
    const accountOf = async (owner: string) => (await findAssociatedTokenPda({ owner: address(owner), mint, tokenProgram }))[0]
    const parts = { source: await accountOf(buyer.address), destination: await accountOf(local.seller.address), authority: buyer }
    const checked = (amount = 10_000n) =>
      getTransferCheckedInstruction({ ...parts, mint, amount, decimals: 6 }, { programAddress: tokenProgram })
    const unchecked = () => getTransferInstruction({ ...parts, amount: 10_000n }, { programAddress: tokenProgram })
    return { mint, checked, unchecked }
  }

  it('is paid in either form', async () => {
    verifies('M22')
    const { mint, checked, unchecked } = await tokenOf()
    for (const instruction of [checked, unchecked]) {
      const judged = await judge(mint, (tag) => send([instruction(), memoOf(tag)]))
      expect(judged).toMatchObject({ verdict: { valid: true, extra: { amount: '10000' } }, seen: { status: 'settled', amount: '10000' } })
    }
  })

  it('of which a fee was taken on the way has arrived in part, and is owed back', async () => {
    verifies(['M24', 'A26'])
    const { mint, checked } = await tokenOf({ basisPoints: 100, maximum: 1_000n })
    expect(await judge(mint, (tag) => send([checked(), memoOf(tag)]))).toMatchObject({
      verdict: { valid: true, extra: { amount: '9900' } },
      seen: { status: 'settled', amount: '9900', extra: { owed: 'wrong_amount' } },
    })
  })

  it('of another mint is none, however many of it arrived', async () => {
    verifies('A26')
    const [asked, paid] = [await tokenOf(), await tokenOf()]
    expect(await judge(asked.mint, (tag) => send([paid.checked(), memoOf(tag)]))).toMatchObject({
      verdict: { valid: false, reason: 'wrong_receiver' },
      seen: { status: 'notSettled', retry: 'never' },
    })
  })

  it('with a fee or other decimals is not offered', async () => {
    verifies('D4')
    const { network, rpcUrl, seller } = local
    const secret = 'the secret of a seller on Solana, long enough'
    for (const [mint, decimals] of [
      [(await tokenOf({ basisPoints: 100, maximum: 1_000n })).mint, 6],
      [(await tokenOf()).mint, 9],
    ] as const) {
      const asset = { network, address: mint, symbol: 'TOK', decimals, transfer: 'token-2022' } as const
      const scheme = transferProofSolanaServer({ network, rpcUrl, payTo: seller.address, asset, secret })
      await expect(scheme.start?.()).rejects.toMatchObject({ code: 'config/mint-mismatch' })
    }
  })
})
