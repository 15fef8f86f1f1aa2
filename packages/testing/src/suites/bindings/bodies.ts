import { Agent, request } from 'node:http'
import { beforeEach, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { Bench } from '../binding.ts'
import { sendPaid, signPayment } from '../purchase.ts'
import { type Sending, send } from '../wire.ts'

const binary = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 256))
const halves = (bytes: Buffer) => [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)]
const octets = { 'Content-Type': 'application/octet-stream' }
const multipart = Buffer.from(
  '--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n\0\r\xff\r\n--x--\r\n',
  'latin1',
)

const bodies: readonly (Sending & { readonly title: string })[] = [
  { title: 'none', headers: { ...octets, 'Content-Length': '0' } },
  { title: 'empty and chunked', headers: { ...octets, 'Transfer-Encoding': 'chunked' } },
  { title: 'with a length', headers: { ...octets, 'Content-Length': '5' }, body: [Buffer.from('hello')] },
  { title: 'chunked', headers: octets, body: [Buffer.from('hel'), Buffer.from('lo')] },
  { title: 'late and slow', headers: octets, body: [Buffer.from('h'), Buffer.from('el'), Buffer.from('lo')], pause: 40 },
  { title: 'announced by Expect: 100-continue', headers: { ...octets, Expect: '100-continue' }, body: [Buffer.from('hello')] },
  { title: 'three megabytes', headers: octets, body: halves(binary) },
  { title: 'multipart', headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body: [multipart] },
]

/** The gate reads a body for its digest, and the handler still gets every byte (H11, H25). */
export function testBindingBodies(bench: Bench): void {
  describe('request bodies', () => {
    verifies('H25')
    beforeEach(() => {
      bench.reset()
      bench.behave('echo')
    })

    it.each(bodies)('$title', async ({ title, ...rest }) => {
      for (const flow of ['authorization', 'upfront']) {
        const url = bench.url(`/${flow}/echo?${encodeURIComponent(title)}`)
        const payment = await signPayment(bench.payer, { url, sending: { method: 'POST' } })
        const answer = await sendPaid(url, payment, { method: 'POST', ...rest })
        expect(answer.status).toBe(200)
        expect(answer.body.equals(Buffer.concat(rest.body ?? []))).toBe(true)
      }
    })

    it('two on one connection', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const url = bench.url('/authorization/echo?kept')
      for (const text of ['first', 'second']) {
        const payment = await signPayment(bench.payer, { url, sending: { method: 'POST', agent } })
        const answer = await sendPaid(url, payment, { method: 'POST', headers: octets, body: [Buffer.from(text)], agent })
        expect([answer.status, answer.body.toString()]).toEqual([200, text])
      }
      agent.destroy()
    })

    it('the same payment for another body is refused', async () => {
      verifies(['A2', 'H11'])
      const url = bench.url('/authorization/echo?bound')
      bench.behave('broken')
      const payment = await signPayment(bench.payer, { url, sending: { method: 'POST' } })
      const paid = (text: string) => sendPaid(url, payment, { method: 'POST', headers: octets, body: [Buffer.from(text)] })
      expect((await paid('bought')).status).toBe(500)
      bench.behave('echo')
      expect((await paid('other')).status).toBe(402)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([1, 0])
      expect((await paid('bought')).body.toString()).toBe('bought')
    })

    it('five megabytes are too many to be bound: 413 and no claim', async () => {
      const url = bench.url('/authorization/echo?huge')
      const payment = await signPayment(bench.payer, { url, sending: { method: 'POST' } })
      const body = Buffer.alloc(5 * 1024 * 1024, 1)
      const answer = await sendPaid(url, payment, { method: 'POST', headers: octets, body: halves(body) })
      expect(answer.status).toBe(413)
      expect([bench.runs(), bench.events('claimed')]).toEqual([0, 0])
    })

    it('one that breaks off claims nothing and harms nobody', async () => {
      const url = bench.url('/authorization/echo?cut')
      const payment = await signPayment(bench.payer, { url, sending: { method: 'POST' } })
      const headers = { ...octets, 'Content-Length': '1000', 'PAYMENT-SIGNATURE': payment }
      const outgoing = request(url, { method: 'POST', headers, agent: new Agent() }).on('error', () => {})
      await new Promise((resolve) => outgoing.write('only this', resolve))
      await new Promise((resolve) => setTimeout(resolve, 150))
      outgoing.destroy()
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect([bench.runs(), bench.events('claimed'), bench.facilitator.settled.length]).toEqual([0, 0, 0])
      expect((await send(url, { method: 'POST' })).status).toBe(402)
    })
  })
}
