import type { FacilitatorScheme, PaymentRequirements, ServerScheme, Submission } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { generateKeyPairSigner, type KeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exactSolanaClient, secretKeySender, solanaReader } from '../client.ts'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { payment, requirementsOn, signerOf } from '../fixtures/payments.ts'
import { exactSolanaServer } from '../server.ts'

let local: SolanaChain
let payer: KeyPairSigner
let facilitator: FacilitatorScheme
let seller: ServerScheme

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
  const { network, rpcUrl } = local
  facilitator = exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] }) })
  seller = sellerWith()
})
afterAll(() => local?.stop())

function sellerWith(fetch: typeof globalThis.fetch = globalThis.fetch): ServerScheme {
  const { network, rpcUrl } = local
  return exactSolanaServer({ network, rpcUrl, payTo: local.seller.address, fetch })
}

const look = (submission: Submission, transaction?: string, by = seller) =>
  by.look?.(submission, transaction === undefined ? {} : { transaction })

/** Signs, sends, and brings the block after the one it is in: confirmed, not final. */
async function mine(submission: Submission): Promise<string> {
  const { writer } = facilitator
  const signed = await writer.sign(facilitator.plan(submission), { signer: local.facilitator.address, nonce: 0n })
  await writer.send(signed)
  await local.advance(2)
  return signed.transaction
}

const finalize = () => local.advance(40)

describe('a seller sees for itself', () => {
  it('what was paid, by the name of its transaction and without it, and only in a final block', async () => {
    verifies(['M5', 'A25'])
    const submission = await payment({ local, payer })
    const nothing = { status: 'pending', network: local.network, payer: payer.address }
    expect(await look(submission)).toEqual(nothing)
    const transaction = await mine(submission)
    expect(await look(submission)).toEqual({ ...nothing, transaction })
    expect(await look(submission, transaction)).toEqual({ ...nothing, transaction })
    await finalize()
    const seen = { status: 'settled', transaction, network: local.network, payer: payer.address, amount: '10000' }
    expect(await look(submission)).toEqual(seen)
    expect(await look(submission, transaction)).toEqual(seen)
    expect(await look(submission, '1'.repeat(64))).toEqual(seen)
    expect(await look(submission, 'no signature')).toEqual(seen)
    expect(await seller.funds?.(submission)).toBe(await local.balanceOf(payer.address))
  })

  it('that another payment’s transaction did not pay this one', async () => {
    verifies(['M1', 'A25'])
    const [mine1, other] = [await payment({ local, payer }), await payment({ local, payer })]
    const transaction = await mine(other)
    expect(await look(mine1, transaction)).toMatchObject({ status: 'pending', denied: true })
    await finalize()
    expect(await look(mine1, transaction)).toMatchObject({ status: 'pending', denied: true })
    const own = await mine(mine1)
    await finalize()
    expect(await look(mine1, transaction)).toMatchObject({ status: 'settled', transaction: own, denied: true })
  })

  it.each<[string, Partial<PaymentRequirements>]>([
    ['amount', { amount: '10001' }],
    ['payee', { payTo: 'oeYf6KAJkLYhBuR8CiGc6L4D4Xtfepr85fuDgA9kq96' }],
  ])('that its transaction paid another %s than was asked, and never asks to sign that anew', async (_, asked) => {
    verifies('A25')
    const honest = await payment({ local, payer })
    const transaction = await mine(honest)
    const submission = { ...honest, requirements: { ...honest.requirements, ...asked } }
    expect(await look(submission, transaction)).toMatchObject({ status: 'pending', denied: true })
    await finalize()
    const wanted = { status: 'notSettled', reason: 'post_settlement_transfer_not_confirmed', retry: 'never', denied: true }
    expect(await look(submission, transaction)).toMatchObject(wanted)
  })

  it('that it failed on chain: dead as soon as that is final, for a message is taken once', async () => {
    verifies('M3')
    const poor = await generateKeyPairSigner()
    await local.mint(poor.address, 15_000n)
    const both = [await payment({ local, payer: poor }), await payment({ local, payer: poor })] as const
    await mine(both[0])
    const transaction = await mine(both[1])
    expect(await look(both[1])).toEqual({ status: 'pending', network: local.network, payer: poor.address })
    await finalize()
    const dead = { status: 'notSettled', reason: 'invalid_exact_svm_transaction_failed', retry: 'resign', transaction }
    expect(await look(both[1])).toMatchObject(dead)
    expect(await look(both[1], transaction)).toMatchObject({ ...dead, denied: true })
  })

  it('that nobody can send it any more: by a final block past its end and the whole history, never by the first look (M21)', async () => {
    verifies('M21')
    const submission = await payment({ local, payer })
    expect(await look(submission)).toMatchObject({ status: 'pending' })
    await local.advance(170)
    expect(await look(submission)).toMatchObject({ status: 'pending' })
    await local.advance(40)
    expect(await look(submission)).toEqual({
      status: 'notSettled',
      network: local.network,
      payer: payer.address,
      reason: 'settlement_expired',
      retry: 'resign',
    })
    // A seller that has just started cannot know how old it is.
    expect(await look(submission, undefined, sellerWith())).toMatchObject({ status: 'pending' })
  })

  it('that a payment settled long ago is no dead one, however late it looks', async () => {
    verifies('M21')
    const submission = await payment({ local, payer })
    const other = sellerWith()
    expect(await look(submission, undefined, other)).toMatchObject({ status: 'pending' })
    const transaction = await mine(submission)
    await local.advance(500)
    for (let more = 0; more < 3; more += 1) await mine(await payment({ local, payer }))
    expect(await look(submission, undefined, other)).toMatchObject({ status: 'settled', transaction })
  })

  it('nothing that is dead where the history cannot be seen whole', async () => {
    verifies('M21')
    const submission = await payment({ local, payer })
    await mine(submission)
    let hidden = ''
    const blind: typeof fetch = async (input, init) => {
      const answer = await fetch(input, init)
      return hidden !== '' && String(init?.body).includes(`"${hidden}"`) ? change(await answer.text()) : answer
    }
    const change = (text: string): Response =>
      new Response(hidden === 'getTransaction' ? '{"jsonrpc":"2.0","id":1,"result":null}' : text.replace(/"memo":"[^"]*"/g, '"memo":null'))
    const other = sellerWith(blind)
    hidden = 'getTransaction'
    expect(await look(submission, undefined, other)).toMatchObject({ status: 'pending' })
    await local.advance(210)
    expect(await look(submission, undefined, other)).toMatchObject({ status: 'pending' })
    // A node that tells no memos excludes nothing.
    hidden = 'getSignaturesForAddress'
    expect(await look(submission, undefined, other)).toMatchObject({ status: 'settled' })
    const behind: typeof fetch = (input, init) =>
      String(init?.body).includes('minContextSlot')
        ? Promise.resolve(
            Response.json({ jsonrpc: '2.0', id: 1, error: { code: -32016, message: 'Minimum context slot has not been reached' } }),
          )
        : fetch(input, init)
    const lagging = sellerWith(behind)
    const dead = await payment({ local, payer })
    expect(await look(dead, undefined, lagging)).toMatchObject({ status: 'pending' })
    await local.advance(210)
    await expect(look(dead, undefined, lagging)).rejects.toMatchObject({ code: 'solana/call-failed' })
  })

  it('nothing of what is no payment', async () => {
    const { payment: signed, requirements } = await payment({ local, payer })
    const broken = { payment: { ...signed, payload: { transaction: 'AAAA' } }, requirements }
    expect(await look(broken)).toEqual({ status: 'pending', network: local.network })
    expect(await seller.funds?.(broken)).toBeUndefined()
    // Of a mint that nobody knows here nothing is told, not even that it was not paid.
    const strange = { payment: signed, requirements: { ...requirements, asset: local.buyer.address } }
    expect(await look(strange, await mine({ payment: signed, requirements }))).toEqual({ status: 'pending', network: local.network })
  })
})

describe('a payer with a connection', () => {
  it('sees by the same rules what became of a payment, and one without asks nobody (M32)', async () => {
    verifies('M32')
    const signer = secretKeySender(local.buyer.privateKey)
    const reader = solanaReader({ rpcUrl: local.rpcUrl })
    const client = exactSolanaClient({ signer, reader })
    const requirements = requirementsOn(local)
    const options = { now: Date.now() / 1000, maxTimeoutSeconds: 120 }
    const [paid, unsent] = await Promise.all(
      [1, 2].map(async (): Promise<Submission> => {
        const { payload } = await client.prepare(requirements, options)
        return { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
      }),
    )
    if (paid === undefined || unsent === undefined) return expect.unreachable()
    const transaction = await mine(paid)
    expect(await client.look?.(paid)).toMatchObject({ status: 'pending', transaction })
    expect(await client.look?.(unsent)).toMatchObject({ status: 'pending' })
    await local.advance(210)
    expect(await client.look?.(paid)).toMatchObject({ status: 'settled', transaction, amount: '10000' })
    expect(await client.look?.(unsent)).toMatchObject({ status: 'notSettled', retry: 'resign' })
    expect(exactSolanaClient({ signer }).look).toBeUndefined()
  })
})
