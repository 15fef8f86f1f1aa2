import { beforeEach, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { Bench } from '../binding.ts'
import { receiptOf, sendPaid, signPayment } from '../purchase.ts'

const id = 'a_secret_of_the_payer_0001'

/** One payment, one run (H4, A1), and pick-up for who proves to be the payer (M4). */
export function testBindingClaims(bench: Bench): void {
  describe('claims', () => {
    let visit = 0
    const fresh = (path: string) => {
      visit += 1
      return bench.url(`${path}?claim=${visit}`)
    }
    beforeEach(() => {
      bench.reset()
      bench.behave('json')
    })

    it.each(['/authorization', '/upfront'])('fifty copies of one payment run the handler once: %s', async (path) => {
      verifies('A1')
      const url = fresh(path)
      const payment = await signPayment(bench.payer, { url })
      const answers = await Promise.all(Array.from({ length: 50 }, () => sendPaid(url, payment)))
      const statuses = answers.map(({ status }) => status)
      expect(statuses.filter((status) => status === 200)).toEqual([200])
      expect(statuses.filter((status) => ![200, 402, 409, 503].includes(status))).toEqual([])
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([1, 1])
    })

    it('the same payment with its id gets the same bytes, without it nothing', async () => {
      verifies('M4')
      bench.behave('cookies')
      const url = fresh('/authorization')
      const payment = await signPayment(bench.payer, { url, id })
      const first = await sendPaid(url, payment)
      const again = await sendPaid(url, payment)
      expect([again.status, again.body.toString()]).toEqual([200, first.body.toString()])
      expect(receiptOf(again)).toEqual(receiptOf(first))
      expect(again.headers['set-cookie']).toEqual(first.headers['set-cookie'])
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([1, 1])
    })

    it('a failed handler lets the same payment try again, three times in all', async () => {
      verifies('M3')
      bench.behave('broken')
      const url = fresh('/authorization')
      const payment = await signPayment(bench.payer, { url })
      const statuses: number[] = []
      for (let attempt = 0; attempt < 4; attempt += 1) statuses.push((await sendPaid(url, payment)).status)
      expect(statuses).toEqual([500, 500, 500, 402])
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([3, 0])
    })

    it('a settled payment whose handler fails runs three times, then the next payment is its own', async () => {
      bench.behave('broken')
      const url = fresh('/upfront')
      for (let attempt = 0; attempt < 3; attempt += 1) await sendPaid(url, await signPayment(bench.payer, { url }))
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([3, 1])
      bench.behave('json')
      expect((await sendPaid(url, await signPayment(bench.payer, { url }))).status).toBe(200)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([4, 2])
    })

    it('what was pending is delivered to a new payment of its payer, which is not settled', async () => {
      verifies('M4')
      const url = fresh('/authorization')
      bench.facilitator.answer = 'pending'
      expect((await sendPaid(url, await signPayment(bench.payer, { url }))).status).toBe(503)
      bench.facilitator.answer = 'ok'
      const delivered = await sendPaid(url, await signPayment(bench.payer, { url }))
      expect([delivered.status, delivered.body.toString()]).toEqual([200, '{"weather":"fair"}'])
      const { settled, looked } = bench.facilitator
      expect([bench.runs(), settled.length, looked]).toEqual([1, 1, [settled[0]?.claimId]])
    })
  })
}
