import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { oneUnit } from '@flow402x/core/stream'
import express from 'express'
import { afterAll, expect, it } from 'vitest'
import { type PurseLane, purseLane } from '../fixtures/purse-lane.ts'
import { byteMeter, createTap } from './tap.ts'
import { type TappedEnd, tapResponse } from './tapped-response.ts'

const folder = await mkdtemp(join(tmpdir(), 'flow402x-tap-'))
afterAll(() => rm(folder, { recursive: true }))
const content = randomBytes(400_000)
await writeFile(join(folder, 'film.bin'), content)

// A tenth of an atomic unit for each byte.
const rate = { numerator: 1n, denominator: 10n }
const sendsFile = (response: express.Response) => response.sendFile(join(folder, 'film.bin'))

it('gates what sendFile writes, and resets where the credit ends', async () => {
  const lane = purseLane({ rate, credit: 10_000n })
  await serving(lane, sendsFile, async (url, ends) => {
    const got = await collect(url)
    expect(got.headers.get('content-length')).toBe(String(content.length))
    await expect.poll(() => got.length()).toBeGreaterThan(90_000)
    const { length } = got
    expect(length()).toBeLessThanOrEqual(100_000)
    lane.pay(10_000n)
    await expect.poll(() => length()).toBeGreaterThan(190_000)
    await lane.end('withdrawn')
    await expect(got.whole).rejects.toThrow()
    expect(got.bytes().equals(content.subarray(0, length()))).toBe(true)
    expect(lane.units).toBe(BigInt(length()) * oneUnit)
    expect(ends).toEqual(['cut'])
  })
})

it('lets it through whole where it is paid, a part as well', async () => {
  const lane = purseLane({ rate, credit: 60_000n })
  await serving(lane, sendsFile, async (url, ends) => {
    expect((await (await collect(url)).whole).equals(content)).toBe(true)
    const part = await fetch(url, { headers: { range: 'bytes=100000-299999' } })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 100000-299999/400000'])
    expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(100_000, 300_000))).toBe(true)
    expect(lane.used).toBe(60_000n)
    await expect.poll(() => ends).toEqual(['whole', 'whole'])
  })
})

it('charges nothing for errors, heads and what has not changed', async () => {
  const lane = purseLane({ rate, credit: 100n })
  await serving(lane, sendsFile, async (url) => {
    const { headers } = await fetch(url, { method: 'HEAD' })
    expect((await fetch(url, { headers: { 'if-none-match': headers.get('etag') ?? '', 'cache-control': 'max-age=0' } })).status).toBe(304)
    expect((await fetch(url, { headers: { range: 'bytes=900000-' } })).status).toBe(416)
    expect(lane.used).toBe(0n)
  })
  await serving(
    lane,
    (response) => response.status(500).json({ error: 'a bug of the seller' }),
    async (url) => {
      expect(await (await fetch(url)).json()).toEqual({ error: 'a bug of the seller' })
      expect(lane.used).toBe(0n)
    },
  )
})

it('takes no more from a source than is paid', async () => {
  const lane = purseLane({ rate, credit: 1000n })
  let made = 0
  const source = function* () {
    for (; made < 400_000; made += 10_000) yield Buffer.alloc(10_000)
  }
  await serving(
    lane,
    (response) => Readable.from(source(), { highWaterMark: 1 }).pipe(response),
    async (url, ends) => {
      const stop = new AbortController()
      const reading = fetch(url, { signal: stop.signal }).then((response) => response.arrayBuffer())
      await expect.poll(() => lane.remaining()).toBe(0n)
      await new Promise((resolve) => setTimeout(resolve, 30))
      expect(made).toBeLessThanOrEqual(40_000)
      stop.abort()
      await expect(reading).rejects.toThrow()
      await expect.poll(() => ends).toEqual(['gone'])
      expect(lane.used).toBe(1000n)
    },
  )
})

it('takes what is written in every way, in order', async () => {
  const lane = purseLane({ rate, credit: 1000n })
  const said: string[] = []
  const writes = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('grüß', 'utf8', () => said.push('first'))
    response.write(Buffer.from(' dich'))
    response.end('6d6f6e64', 'hex', () => said.push('end'))
  }
  await serving(lane, writes, async (url) => {
    expect(await (await fetch(url)).text()).toBe('grüß dichmond')
    expect([lane.units, said]).toEqual([15n * oneUnit, ['first', 'end']])
  })
  await serving(
    lane,
    (response) => response.end(),
    async (url) => expect(await (await fetch(url)).text()).toBe(''),
  )
  await serving(
    lane,
    (response) => response.send('short'),
    async (url) => {
      const { headers } = await fetch(url)
      expect(headers.get('content-length')).toBe('5')
    },
  )
})

it('resets where nobody can say what the bytes are', async () => {
  const lane = purseLane({ rate, credit: 1000n })
  await serving(
    lane,
    sendsFile,
    async (url, ends) => {
      await expect(fetch(url).then((response) => response.arrayBuffer())).rejects.toThrow()
      expect([lane.used, ends]).toEqual([0n, ['cut']])
    },
    () => Promise.reject(new TypeError('no meter')),
  )
})

type Collected = { readonly headers: Headers; readonly length: () => number; readonly bytes: () => Buffer; readonly whole: Promise<Buffer> }

async function collect(url: string): Promise<Collected> {
  const { body, headers } = await fetch(url)
  const read: Uint8Array[] = []
  const bytes = () => Buffer.concat(read)
  const reader = body?.getReader()
  const whole = (async () => {
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) read.push(next.value)
    return bytes()
  })()
  whole.catch(() => {})
  return { headers, bytes, length: () => bytes().length, whole }
}

async function serving(
  lane: PurseLane,
  handle: (response: express.Response) => unknown,
  use: (url: string, ends: TappedEnd[]) => Promise<unknown>,
  tapOf = async () => createTap({ lane: lane.held(), meter: byteMeter('byte'), window: 40_000n * oneUnit }),
): Promise<void> {
  const app = express()
  const ends: TappedEnd[] = []
  app.get('/', (_, response) => {
    tapResponse(response, { tapOf, end: (how) => ends.push(how) })
    handle(response)
  })
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has such an address.
  const { port } = server.address() as AddressInfo
  try {
    await use(`http://127.0.0.1:${port}/`, ends)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}
