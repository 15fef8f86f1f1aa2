import {
  type ClientScheme,
  type FacilitatorScheme,
  type Outcome,
  type PaymentPayload,
  type PaymentRequirements,
  parsePrice,
  paymentRequirements,
  paymentSignatureHeader,
  type ServerScheme,
  type Submission,
} from '@flow402x/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Mined, mine } from './mine.ts'

/** The three roles of a scheme on one local chain, and the books of its payer and payee in atomic units. */
export type SchemeStage = {
  readonly client: ClientScheme
  readonly server: ServerScheme
  readonly facilitator: FacilitatorScheme
  balances(): Promise<{ readonly payer: bigint; readonly payee: bigint }>
  /** The same payment in other letters: hex case, another encoding of the signature. None of them is a new payment (A4). */
  spellings(payment: PaymentPayload): readonly PaymentPayload[]
  /** Lets the chain go on until every payment made so far is dead: for payments that end by blocks. */
  expire?(): Promise<void>
  close(): Promise<void>
}

/** A scheme under test. `price` fits what the payer of the stage holds; payments end at a time they name, or by the chain's `blocks`. */
export type SchemeSuite = {
  readonly name: string
  readonly price?: string
  readonly ends?: 'time' | 'blocks'
  readonly mount: () => Promise<SchemeStage>
}

/** What every scheme must do, from the offer to the chain, with real roles on a real chain. */
export function testScheme({ name, price = '$0.01', ends = 'time', mount }: SchemeSuite): void {
  describe(`${name} is a scheme`, () => {
    let stage: SchemeStage
    beforeAll(async () => {
      stage = await mount()
      await stage.facilitator.start()
    })
    afterAll(() => stage?.close())

    const now = () => Math.floor(Date.now() / 1000)
    const offer = (change: { readonly price?: string; readonly maxTimeoutSeconds?: number } = {}): PaymentRequirements =>
      stage.server.requirements({
        price: parsePrice(change.price ?? price),
        kind: stage.facilitator.supported(),
        maxTimeoutSeconds: change.maxTimeoutSeconds ?? 120,
        flow: 'authorization',
      })
    const pay = async (requirements = offer(), at = now()): Promise<Submission> => {
      const { maxTimeoutSeconds } = requirements
      const { payload } = await stage.client.prepare(requirements, { now: at, maxTimeoutSeconds })
      const payment = { x402Version: 2, accepted: requirements, payload: { ...payload } } as const
      // What arrives is what went over the wire.
      return { payment: paymentSignatureHeader.decode(paymentSignatureHeader.encode(payment)), requirements }
    }
    const check = (submission: Submission) => stage.server.check(submission, { now: now() })

    it('offers what its schema allows, the same each time, at the price people read', () => {
      expect(paymentRequirements.safeParse(offer()).success).toBe(true)
      expect(offer()).toEqual(offer())
      expect(offer()).toMatchObject({ scheme: stage.server.scheme, network: stage.server.network })
      expect(stage.server.describe(offer())).toBe(price)
      expect(stage.client.supports(offer())).toBe(true)
      expect(stage.facilitator.supported()).toEqual(stage.facilitator.supported())
    })

    it('gives a payment one identity in all three roles, whatever its letters', async () => {
      const requirements = offer()
      const prepared = await stage.client.prepare(requirements, { now: now(), maxTimeoutSeconds: 60 })
      const payment: PaymentPayload = { x402Version: 2, accepted: requirements, payload: { ...prepared.payload } }
      expect(stage.server.key(payment)).toEqual(prepared.key)
      expect(stage.facilitator.key(payment)).toEqual(prepared.key)
      const other = stage.spellings(payment)
      expect(other.length).toBeGreaterThan(0)
      for (const spelling of other) expect(stage.server.key(spelling)?.id).toBe(prepared.key.id)
      expect(stage.server.key((await pay()).payment)?.id).not.toBe(prepared.key.id)
    })

    it('verifies without moving anything, then moves exactly the price, once', async () => {
      const submission = await pay()
      const before = await stage.balances()
      expect(check(submission)).toMatchObject({ valid: true })
      const verdict = await stage.facilitator.verify(submission)
      expect(verdict).toMatchObject({ valid: true, payer: expect.any(String) })
      expect(await stage.balances()).toEqual(before)

      const outcome = await settle(stage.facilitator, submission)
      expect(outcome).toMatchObject({ status: 'settled', network: stage.server.network })
      const amount = BigInt(submission.requirements.amount)
      expect(await stage.balances()).toEqual({ payer: before.payer - amount, payee: before.payee + amount })
      await expect
        .poll(() => stage.facilitator.verify(submission), { timeout: 15_000 })
        .toMatchObject({ valid: false, reason: expect.any(String) })
      for (const payment of stage.spellings(submission.payment)) {
        expect(await stage.facilitator.verify({ ...submission, payment })).toMatchObject({ valid: false })
      }
    })

    it('takes no other transaction for this payment', async () => {
      const [mine, foreign] = [await pay(), await pay()]
      await stage.facilitator.verify(foreign)
      const other = await mined(stage.facilitator, foreign)
      expect(stage.facilitator.outcome(mine, other).status).toBe('notSettled')
    })

    const changes: readonly [string, (requirements: PaymentRequirements) => PaymentRequirements][] = [
      ['more than was signed', (asked) => ({ ...asked, amount: `${BigInt(asked.amount) + 1n}` })],
      ['less than was signed', (asked) => ({ ...asked, amount: `${BigInt(asked.amount) - 1n}` })],
      ['another payee', (asked) => ({ ...asked, payTo: asked.asset })],
    ]
    it.each(changes)('refuses what is not what was signed: %s', async (_, change) => {
      const { payment } = await pay()
      const requirements = change(payment.accepted)
      const submission = { payment: { ...payment, accepted: requirements }, requirements }
      expect(check(submission)).toMatchObject({ valid: false, reason: expect.any(String) })
      expect(await stage.facilitator.verify(submission)).toMatchObject({ valid: false, reason: expect.any(String) })
    })

    it('refuses a payment whose time is over', async () => {
      const late = await pay(offer(), ends === 'time' ? now() - 3600 : now())
      await stage.expire?.()
      if (ends === 'time') expect(check(late)).toMatchObject({ valid: false })
      expect(await stage.facilitator.verify(late)).toMatchObject({ valid: false })
    })

    it.skipIf(ends === 'blocks')(
      'refuses a payment that would live too long (skipped where blocks end it, which nobody can choose)',
      async () => {
        const requirements = offer()
        const { payload } = await stage.client.prepare(requirements, { now: now(), maxTimeoutSeconds: 86_400 })
        expect(check({ payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements })).toMatchObject({
          valid: false,
        })
      },
    )

    it('never throws at garbage, and never takes it', async () => {
      const requirements = offer()
      const good = (await pay(requirements)).payment.payload
      const mutated = fc.tuple(fc.constantFrom(...Object.keys(good)), fc.jsonValue()).map(([field, value]) => ({ ...good, [field]: value }))
      const payloads = fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), mutated)
      await fc.assert(
        fc.asyncProperty(payloads, async (payload) => {
          fc.pre(JSON.stringify(payload) !== JSON.stringify(good))
          const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
          const key = stage.server.key(submission.payment)
          expect(stage.facilitator.key(submission.payment)).toEqual(key)
          expect(await stage.facilitator.verify(submission)).toMatchObject({ valid: false, reason: expect.any(String) })
        }),
        { numRuns: 200 },
      )
    })
  })
}

async function settle(scheme: FacilitatorScheme, submission: Submission): Promise<Outcome> {
  return scheme.outcome(submission, await mined(scheme, submission))
}

function mined(scheme: FacilitatorScheme, submission: Submission): Promise<Mined> {
  return mine(scheme.writer, scheme.plan(submission))
}
