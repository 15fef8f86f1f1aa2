import { assetOf, type ServerScheme, type Submission } from '@flow402x/core'
import { referenceTag, type SeenTransfer, transferSeller, transferSight } from '@flow402x/core/transfer'
import { describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { Bench } from '../binding.ts'
import { type Sending, send } from '../wire.ts'

const receiver = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const payer = '0x857b06519E91e3A54538791bDbb0E22373e36b66'

/** A transfer as a chain would have it. */
type Made = Partial<SeenTransfer & { readonly state: 'paid' }> & { readonly to?: string; readonly tag?: string; readonly failed?: true }

/** A ledger of transfers for suites that are about servers: it keeps the contract of a chain and moves no money. */
export type TransferLedger = {
  readonly scheme: ServerScheme
  /** Writes a transfer down that carries the hash of a reference, and names its transaction. */
  make(reference: string, made?: Made): Promise<string>
}

/** A scheme that is paid by the transfers of a ledger, and asks for them by the plain challenge. */
export function transferLedger(network: string): TransferLedger {
  const transfers = new Map<string, Made>()
  const spell = (text: string) => (/^0x[0-9a-f]{64}$/.test(text) ? text : undefined)
  const see = async (
    { requirements }: Submission,
    { transaction, tag }: { transaction: string; tag: Uint8Array },
  ): Promise<SeenTransfer> => {
    const made = transfers.get(transaction)
    const refused = (reason: string): SeenTransfer => ({ state: 'refused', reason, message: `It is refused: ${reason}.`, deep: true })
    if (made === undefined) return { state: 'unknown' }
    if (made.failed) return refused('transaction_failed')
    if ((made.to ?? receiver) !== requirements.payTo) return refused('wrong_receiver')
    if (made.tag !== undefined && made.tag !== hex(tag)) return refused('foreign_reference')
    const { amount = BigInt(requirements.amount), time = Math.floor(Date.now() / 1000), deep = true } = made
    return { state: 'paid', transaction, payer, amount, tagged: made.tag !== undefined, time, deep }
  }
  const seller = transferSeller(
    {
      network,
      spell,
      asset: assetOf(network),
      payee: (payTo = receiver) => payTo,
      confirmations: '0',
      sight: transferSight({ network, spell, see }, { patience: 0 }),
      plain: ({ payTo, amount, extra }) => ({ receiver: payTo, amount_lamports: Number(amount), reference: extra?.reference }),
    },
    { secret: 'the secret of a seller who is only a suite' },
  )
  return {
    scheme: seller,
    async make(reference, made = {}) {
      const transaction = `0x${(transfers.size + 1).toString(16).padStart(64, '0')}`
      transfers.set(transaction, { tag: hex(await referenceTag(reference)), ...made })
      return transaction
    },
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** The plain challenge (DESIGN §8.3): 402 with three fields, then two headers, then 200 or a 400 that says why. */
export function testBindingPlain(bench: Bench): void {
  describe('the plain challenge', () => {
    const challenge = async (path: string, sending: Sending = {}) => {
      bench.reset()
      bench.behave(path.endsWith('echo') ? 'echo' : 'json')
      const answer = await send(bench.url(path), sending)
      const body: { receiver: string; amount_lamports: number; reference: string } = JSON.parse(answer.body.toString())
      expect([answer.status, body.receiver, body.amount_lamports]).toEqual([402, receiver, 10_000])
      return body.reference
    }
    const prove = async (path: string, proof: { transaction?: string; reference: string }, sending: Sending = {}) => {
      const { transaction, reference } = proof
      const headers = { 'X-Payment-Reference': reference, ...(transaction === undefined ? {} : { 'X-Payment-Signature': transaction }) }
      const answer = await send(bench.url(path), { ...sending, headers: { ...sending.headers, ...headers } })
      return { status: answer.status, body: answer.body.toString(), retryAfter: answer.headers['retry-after']?.[0] }
    }
    const { make } = bench.ledger

    it.each(['/authorization', '/upfront'])('is answered by a transfer, once: %s', async (path) => {
      verifies('PLAIN-CHALLENGE')
      const reference = await challenge(path)
      const proof = { transaction: await make(reference), reference }
      expect(await prove(path, proof)).toMatchObject({ status: 200, body: '{"weather":"fair"}' })
      expect(await prove(path, proof)).toMatchObject({ status: 400, body: expect.stringContaining('"error":"duplicate_settlement"') })
      expect(bench.runs()).toBe(1)
      expect(bench.facilitator.verified).toEqual([])
    })

    it('is bound to the body that was asked with', async () => {
      verifies(['PLAIN-CHALLENGE', 'H11'])
      const path = '/authorization/echo'
      const posting = (text: string) => ({ method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: [Buffer.from(text)] })
      const reference = await challenge(path, posting('hello'))
      const proof = { transaction: await make(reference), reference }
      expect(await prove(path, proof, posting('hullo'))).toMatchObject({ status: 400, body: expect.stringContaining('foreign_reference') })
      expect(await prove(path, proof, posting('hello'))).toMatchObject({ status: 200, body: 'hello' })
    })

    const now = () => Math.floor(Date.now() / 1000)
    const refusals: readonly [reason: string, made: Made][] = [
      ['wrong_receiver', { to: payer }],
      ['wrong_amount', { amount: 9_999n }],
      ['wrong_amount', { amount: 10_001n }],
      ['stale_reference', { time: now() + 3600 }],
      ['transaction_failed', { failed: true }],
      ['foreign_reference', { tag: 'ab'.repeat(32) }],
    ]
    it.each(refusals)('says 400 and %s', async (reason, made) => {
      verifies('PLAIN-CHALLENGE')
      const reference = await challenge('/authorization')
      const answer = await prove('/authorization', { transaction: await make(reference, made), reference })
      expect(answer).toMatchObject({ status: 400, body: expect.stringContaining(`"error":"${reason}"`) })
      expect(bench.runs()).toBe(0)
    })

    it('says 400 to what is not there, not deep enough or not this seller’s', async () => {
      verifies('PLAIN-CHALLENGE')
      const reference = await challenge('/authorization')
      const unknown = { transaction: `0x${'ef'.repeat(32)}`, reference }
      const unconfirmed = { status: 400, body: expect.stringContaining('"error":"transaction_unconfirmed"'), retryAfter: '2' }
      expect(await prove('/authorization', unknown)).toMatchObject(unconfirmed)
      expect(await prove('/authorization', { transaction: await make(reference, { deep: false }), reference })).toMatchObject(unconfirmed)
      const own = 'cd'.repeat(32)
      const foreign = { transaction: await make(own, { time: now() }), reference: own }
      expect((await prove('/authorization', foreign)).status).toBe(400)
      expect(await prove('/authorization', { transaction: 'no transaction', reference })).toMatchObject({ status: 400 })
      expect(bench.runs()).toBe(0)
    })
  })
}
