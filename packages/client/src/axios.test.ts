import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import axios, { AxiosError, type AxiosRequestConfig } from 'axios'
import { afterEach, describe, expect, it } from 'vitest'
import { withPayments } from './axios.ts'
import { createClient } from './engine/client.ts'
import { pen } from './fixtures/pen.ts'
import { answer, ask, asking, cent, type Seller, settled, startSeller } from './fixtures/seller.ts'
import { receiptOf } from './http/receipt.ts'

const sellers: Seller[] = []
const start: typeof startSeller = async (handler) => {
  const seller = await startSeller(handler)
  sellers.push(seller)
  return seller
}
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

const paying = (options = {}) => {
  const client = createClient({ schemes: [pen()], retry: { attempts: 2, firstDelayMs: 1 }, ...options })
  return { client, http: withPayments(axios.create(), client) }
}
// The package axios itself depends on for forms in Node.
const OldForm = createRequire(createRequire(import.meta.url).resolve('axios'))('form-data')

describe('axios', () => {
  it('pays, and answers as axios does', async () => {
    const seller = await start(({ payment }, response) =>
      payment === undefined
        ? ask(response)
        : answer(response, settled, { body: '{"story":"…"}', headers: { 'Content-Type': 'application/json' } }),
    )
    const { http, client } = paying()
    const response = await http.post(`${seller.url}/x`, { prompt: 'grün' }, { params: { a: 1 }, headers: { 'X-Own': 'kept' } })
    expect([response.status, response.data, receiptOf(response)]).toEqual([200, { story: '…' }, settled])
    expect(
      seller.seen.map(({ url, method, body, headers }) => [url, method, body.toString(), headers['content-type'], headers['x-own']]),
    ).toEqual(Array(2).fill(['/x?a=1', 'POST', '{"prompt":"grün"}', 'application/json', 'kept']))
    expect((await client.spent()).total.committed).toBe('$0.01')
  })

  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 256))
  const form = () => {
    const data = new FormData()
    data.append('a', 'grün')
    data.append('f', new Blob([bytes], { type: 'image/png' }), 'f.png')
    return data
  }
  const oldForm = () => {
    const data = new OldForm()
    data.append('a', 'grün')
    data.append('f', bytes, { filename: 'f.png' })
    return data
  }
  const kinds: [string, () => unknown, RegExp, AxiosRequestConfig?][] = [
    ['an object', () => ({ a: 1 }), /^application\/json$/],
    ['a string', () => 'grün', /^application\/x-www-form-urlencoded$/],
    ['URLSearchParams', () => new URLSearchParams({ a: 'b c' }), /^application\/x-www-form-urlencoded;charset=utf-8$/i],
    ['a Buffer', () => bytes, /^image\/x$/, { headers: { 'Content-Type': 'image/x' } }],
    ['an ArrayBuffer', () => new Uint8Array(bytes).buffer, /urlencoded/],
    ['a Blob', () => new Blob([bytes], { type: 'image/png' }), /^image\/png$/],
    ['FormData', form, /^multipart\/form-data; boundary=\S+$/],
    ['a form of form-data', oldForm, /^multipart\/form-data; boundary=\S+$/],
    [
      'an object as a form',
      () => ({ a: 'grün' }),
      /^multipart\/form-data; boundary=\S+$/,
      { headers: { 'Content-Type': 'multipart/form-data' } },
    ],
    ['a Node stream', () => Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]), /urlencoded/],
    ['a web stream', () => new Blob([bytes]).stream(), /urlencoded/],
  ]

  it.each(kinds)('sends %s twice, byte for byte', async (_, make, type, config = {}) => {
    const seller = await start()
    expect((await paying().http.post(seller.url, make(), config)).status).toBe(200)
    const [first, second] = seller.seen
    const { 'payment-signature': payment, ...headers } = second?.headers ?? {}
    expect([payment, headers, second?.body]).toEqual([expect.any(String), first?.headers, first?.body])
    expect(first?.headers['content-type']).toMatch(type)
    expect(first?.body.length).toBeGreaterThan(0)
  })

  it.each(kinds.filter(([name]) => /FormData|form-data/.test(name)))('sends %s so that it can be parsed', async (_, make) => {
    const seller = await start()
    await paying().http.post(seller.url, make())
    const { body, headers } = seller.seen[1] ?? {}
    const parsed = await new Response(new Uint8Array(body ?? []), {
      headers: { 'Content-Type': String(headers?.['content-type']) },
    }).formData()
    const file = parsed.get('f')
    expect([parsed.get('a'), file instanceof Blob && Buffer.from(await file.arrayBuffer()).equals(bytes)]).toEqual(['grün', true])
  })

  it('throws on 402 and 500 as it always does, with the answer', async () => {
    const seller = await start(({ payment, url }, response) => {
      if (payment === undefined && url === '/offer') return ask(response)
      return response.writeHead(url === '/bare' ? 402 : 500).end('no')
    })
    const { http } = paying()
    const bare = await http.get(`${seller.url}/bare`).catch((error: unknown) => error)
    expect([bare instanceof AxiosError, bare]).toMatchObject([true, { code: 'ERR_BAD_REQUEST', response: { status: 402, data: 'no' } }])
    const broken = await http.get(`${seller.url}/offer`).catch((error: unknown) => error)
    expect(broken).toMatchObject({ code: 'ERR_BAD_RESPONSE', response: { status: 500, data: 'no' } })
  })

  it('throws the client error as the cause, and resumes from what it threw', async () => {
    const dear = await start((_, response) => ask(response, asking([{ ...cent, amount: '2000000' }])))
    const { http, client } = paying()
    const refused = await http.get(dear.url).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'client/no-payable-offer', cause: { moneyMoved: 'no' } })
    let open = false
    const flaky = await start(({ payment }, response) => {
      if (payment === undefined) return ask(response)
      return open ? answer(response, settled) : response.destroy()
    })
    const unknown = await http.get(flaky.url).catch((error: unknown) => error)
    expect(unknown).toMatchObject({ code: 'client/settle-unknown', cause: { moneyMoved: 'unknown', retry: 'same' } })
    open = true
    expect(await (await client.resume(unknown)).text()).toBe('goods')
    expect(new Set(flaky.seen.flatMap(({ headers }) => headers['payment-signature'] ?? [])).size).toBe(1)
  })

  it('keeps its timeout, its abort signal and its streams', async () => {
    const silent = await start(({ payment }, response) => (payment === undefined ? ask(response) : undefined))
    const { http } = paying()
    await expect(http.get(silent.url, { timeout: 100 })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    await expect(http.get(silent.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_CANCELED' })
    const seller = await start()
    const { data } = await http.get(seller.url, { responseType: 'stream' })
    expect(await new Response(data).text()).toBe('goods')
  })
})
