import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { oneUnit } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { purseLane } from '../fixtures/purse-lane.ts'
import { askedBytes, type ByteSource, fileSource, partOnLane, unsatisfiable, wholeOnLane } from './range.ts'
import { byteMeter } from './tap.ts'

const folder = await mkdtemp(join(tmpdir(), 'flow402x-range-'))
afterAll(() => rm(folder, { recursive: true }))

const content = randomBytes(300_001)
const path = join(folder, 'film.bin')
await writeFile(path, content)
const source = await fileSource(path, { type: 'video/mp4' })
// A tenth of an atomic unit for each byte.
const rate = { numerator: 1n, denominator: 10n }
const byBytes = { meter: byteMeter('byte'), source, window: 40_000n * oneUnit }

describe('a range', () => {
  it('is as long as it is paid, until the whole is there', async () => {
    verifies('T4')
    const lane = purseLane({ rate })
    const parts: Buffer[] = []
    for (let from = 0; from < content.length; ) {
      lane.pay(7001n)
      const asked = askedBytes(new Headers({ range: `bytes=${from}-` }), source)
      if (asked === 'unsatisfiable') throw asked
      const part = partOnLane({ ...byBytes, lane: lane.held() }, asked)
      const length = Math.min(70_010, content.length - from)
      expect(part?.status).toBe(206)
      expect(part?.headers.get('content-range')).toBe(`bytes ${from}-${from + length - 1}/${content.length}`)
      expect(part?.headers.get('content-length')).toBe(String(length))
      expect(part?.headers.get('payment-remaining')).toBe(from + length < content.length ? '0' : String(70_010 * 5 - content.length))
      const bytes = Buffer.from((await part?.arrayBuffer()) ?? new ArrayBuffer(0))
      expect(bytes.length).toBe(length)
      parts.push(bytes)
      from += length
    }
    expect(sha256(Buffer.concat(parts))).toBe(sha256(content))
    expect(lane.used).toBe(30_001n)
  })

  it('is nothing without money, and what is not there costs nothing', async () => {
    const lane = purseLane({ rate })
    expect(partOnLane({ ...byBytes, lane }, { from: 0, to: 10 })).toBeUndefined()
    expect(unsatisfiable(source)).toMatchObject({ status: 416 })
    expect(lane.used).toBe(0n)
    const one = purseLane({ rate, credit: 1n })
    expect(partOnLane({ ...byBytes, lane: one }, { from: 5, to: 100 })?.headers.get('content-range')).toBe(`bytes 5-14/${content.length}`)
    expect(one.remaining()).toBe(0n)
  })

  it('is read as RFC 9110 says', () => {
    const file = { size: 1000, etag: '"a"' }
    const asked = (range: string, condition?: string) =>
      askedBytes(new Headers({ range, ...(condition ? { 'if-range': condition } : {}) }), file)
    expect(asked('bytes=0-0')).toEqual({ from: 0, to: 1, isPart: true })
    expect(asked('bytes=900-')).toEqual({ from: 900, to: 1000, isPart: true })
    expect(asked('bytes=-100')).toEqual({ from: 900, to: 1000, isPart: true })
    expect(asked('bytes=-5000')).toEqual({ from: 0, to: 1000, isPart: true })
    expect(asked('bytes=10-99999', '"a"')).toEqual({ from: 10, to: 1000, isPart: true })
    for (const all of ['bytes=5-1', 'bytes=-', 'lines=1-2', 'bytes=0-1,4-5', 'bytes=a-b', '', 'bytes=0-9999999999999999'])
      expect(asked(all)).toEqual({ from: 0, to: 1000, isPart: false })
    expect(asked('bytes=1-2', '"b"')).toEqual({ from: 0, to: 1000, isPart: false })
    for (const none of ['bytes=1000-', 'bytes=1000-2000', 'bytes=-0']) expect(asked(none)).toBe('unsatisfiable')
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,16}-\d{0,16}$/)), (range) => {
        const found = askedBytes({ get: (name) => (name === 'range' ? range : null) }, file)
        if (found !== 'unsatisfiable') expect(0 <= found.from && found.from < found.to && found.to <= 1000).toBe(true)
      }),
    )
  })
})

describe('a whole', () => {
  it('flows as it is paid, and stops with the last paid byte by a reset', async () => {
    const lane = purseLane({ rate, credit: 10_000n })
    await onServer(wholeOnLane({ ...byBytes, lane }, {}), async (url) => {
      const response = await fetch(url)
      expect(response.headers.get('content-length')).toBe(String(content.length))
      const read: Uint8Array[] = []
      const body = response.body?.getReader()
      const collected = (async () => {
        for (let next = await body?.read(); next?.done === false; next = await body?.read()) read.push(next.value)
      })()
      await expect.poll(() => Buffer.concat(read).length).toBeGreaterThan(90_000)
      expect(lane.remaining()).toBeLessThan(10_000n * oneUnit)
      lane.pay(10_000n)
      await expect.poll(() => Buffer.concat(read).length).toBeGreaterThan(190_000)
      await lane.end('withdrawn')
      await expect(collected).rejects.toThrow()
      const got = Buffer.concat(read)
      expect(got.equals(content.subarray(0, got.length))).toBe(true)
      expect(BigInt(got.length)).toBe(lane.units / oneUnit)
      expect(got.length).toBeLessThanOrEqual(200_000)
    })
  })

  it('ends its lane where it was delivered to the last byte, and lets it go where its reader left', async () => {
    const paid = purseLane({ rate, credit: 30_001n })
    const whole = await wholeOnLane({ ...byBytes, lane: paid }, {}).arrayBuffer()
    expect([sha256(Buffer.from(whole)), paid.used, paid.fate()]).toEqual([sha256(content), 30_001n, 'end of content'])
    const left = purseLane({ rate, credit: 30_001n })
    const reader = wholeOnLane({ ...byBytes, lane: left }, {}).body?.getReader()
    await reader?.read()
    await reader?.cancel()
    expect(left.fate()).toBe('released')
    expect(left.units).toBeLessThanOrEqual(20_000n * oneUnit)
  })

  it('reads no further than it is read', async () => {
    let read = 0
    const slow: ByteSource = {
      size: 1_000_000,
      async *read(from, to) {
        for (let at = from; at < to; at += 1000) {
          read += 1000
          yield new Uint8Array(1000)
        }
      },
    }
    const lane = purseLane({ rate, credit: 1_000_000n })
    const reader = wholeOnLane({ ...byBytes, source: slow, lane }, {}).body?.getReader()
    for (let times = 0; times < 3; times += 1) await reader?.read()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(read).toBeLessThanOrEqual(4000)
    await reader?.cancel()
  })

  it('breaks off where its source is shorter than it was', async () => {
    const shrunk: ByteSource = {
      size: 100,
      async *read() {
        yield new Uint8Array(60)
      },
    }
    const lane = purseLane({ rate, credit: 100n })
    await expect(wholeOnLane({ ...byBytes, source: shrunk, lane }, {}).arrayBuffer()).rejects.toMatchObject({
      code: 'stream/source-changed',
    })
  })

  it('keeps to the time of its content', async () => {
    // 300,001 bytes that last thirty seconds; all of them are paid, and two seconds are given at once.
    const recording = { size: BigInt(content.length), length: 30_000_000_000n }
    const lane = purseLane({ rate: { numerator: 10_000n, denominator: 1n }, unit: 'second', credit: 300_000n })
    let [now, slept] = [0, 0]
    const pace = {
      now: () => now,
      async sleep(ms: number) {
        now += ms
        slept += ms
      },
    }
    const reader = wholeOnLane({ meter: byteMeter('second', recording), source, window: 2n * oneUnit, lane }, { pace }).body?.getReader()
    let [got, most] = [0, 0]
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
      got += next.value.length
      most = Math.max(most, (got * 30) / content.length - now / 1000)
    }
    expect(got).toBe(content.length)
    expect(lane.used).toBe(300_000n)
    expect(most).toBeLessThanOrEqual(2.001)
    expect(slept).toBeGreaterThanOrEqual(27_900)
    expect(slept).toBeLessThanOrEqual(28_500)
  })

  it('is counted in nothing that bytes are not', () => {
    const noMeter = expect.objectContaining({ code: 'stream/no-meter' })
    expect(() => byteMeter('second')).toThrow(noMeter)
    expect(() => byteMeter('second', { size: 10n, length: 0n })).toThrow(noMeter)
    expect(() => byteMeter('token')).toThrow(noMeter)
    fc.assert(
      fc.property(fc.bigInt(1n, 10n ** 12n), fc.bigInt(1n, 10n ** 15n), fc.bigInt(0n, 10n ** 12n), (size, length, bytes) => {
        const meter = byteMeter('second', { size, length })
        const units = meter.unitsOf(bytes)
        expect(meter.bytesFor(units) >= bytes).toBe(true)
        expect(bytes === 0n || meter.bytesFor(units - 1n) < bytes || meter.unitsOf(bytes) === meter.unitsOf(bytes - 1n)).toBe(true)
        expect(meter.unitsOf(meter.bytesFor(units)) <= units).toBe(true)
      }),
    )
  })
})

async function onServer(response: Response, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((_, out) => {
    out.writeHead(response.status, Object.fromEntries(response.headers))
    // A web body in Node's own type for it.
    Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])
      .on('error', () => out.destroy())
      .pipe(out)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has such an address.
  const { port } = server.address() as AddressInfo
  try {
    await use(`http://127.0.0.1:${port}/`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
