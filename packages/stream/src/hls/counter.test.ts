import { createDecipheriv } from 'node:crypto'
import { oneUnit } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { createEdgeGate } from '../access/edge-gate.ts'
import { createWindows } from '../access/window.ts'
import { purseLane } from '../fixtures/purse-lane.ts'
import { createHlsCounter } from './counter.ts'
import { createHlsKeys } from './keys.ts'
import { keyedPlaylist, parsePlaylist } from './playlist.ts'

const secret = 'a secret of the seller, which is long enough'
const playlist = parsePlaylist('#EXTM3U\n#EXTINF:2,\n0.ts\n#EXTINF:2.5,\n1.ts\n#EXTINF:2,\n2.ts\n#EXTINF:1,\n3.ts\n#EXT-X-ENDLIST')
// A thousand atomic units for each second.
const rate = { numerator: 1000n, denominator: 1n }
const lane = (credit: bigint, sid?: string) => purseLane({ rate, unit: 'second', credit, ...(sid && { sid }) })
const other = 'BBECAwQFBgcICQoLDA0ODw'

describe('segments at their origin', () => {
  it('cost their time, once for each lane', () => {
    const counter = createHlsCounter({ playlist })
    const mine = lane(4600n)
    expect([counter.segment(mine, 0), counter.segment(mine, 1), counter.segment(mine, 0)]).toEqual([true, true, true])
    expect(mine.used).toBe(4500n)
    expect([counter.segment(mine, 2), counter.segment(mine, 4)]).toEqual([false, undefined])
    expect(mine.used).toBe(4500n)
    mine.pay(1900n)
    expect([counter.segment(mine, 2), mine.used]).toEqual([true, 6500n])
    expect(counter.segment(lane(0n, other), 0)).toBe(false)
  })

  it('are counted one by one where the rate says so, and in nothing that they are not', () => {
    const counter = createHlsCounter({ playlist })
    const byOne = purseLane({ rate: { numerator: 5n, denominator: 1n }, unit: 'segment', credit: 10n })
    expect([counter.segment(byOne, 3), counter.segment(byOne, 1), counter.segment(byOne, 0)]).toEqual([true, true, false])
    expect(() => counter.segment(purseLane({ rate, unit: 'token' }), 0)).toThrow(expect.objectContaining({ code: 'stream/no-meter' }))
  })
})

describe('keys of a programme', () => {
  it('are given when they are paid, each for its own period, while everybody may cache the segments', async () => {
    verifies('T5')
    const keys = createHlsKeys({ secret, programme: 'film', segmentsPerKey: 2 })
    const counter = createHlsCounter({ playlist, keys })
    const text = keyedPlaylist(playlist, { segmentsPerKey: 2, keyUri: (period) => `key/${period}` })
    expect(text.match(/URI="[^"]*"/g)).toEqual(['URI="key/0"', 'URI="key/1"'])
    const clear = Buffer.from('a segment that players can play'.repeat(20))
    const cached = await keys.encrypt(clear, { number: 1 })

    const mine = lane(0n)
    expect(await counter.key(mine, 0)).toBe('unpaid')
    mine.pay(4500n)
    const given = await counter.key(mine, 0)
    if (!(given instanceof Response)) throw new TypeError('no key was given')
    expect([given.status, given.headers.get('cache-control')]).toEqual([200, 'private, no-store, no-transform'])
    const key = Buffer.from(await given.arrayBuffer())
    const iv = Buffer.alloc(16)
    iv[15] = 1
    const decipher = createDecipheriv('aes-128-cbc', key, iv)
    expect(Buffer.concat([decipher.update(cached), decipher.final()])).toEqual(clear)

    expect(await counter.key(mine, 1)).toBe('unpaid')
    expect(await counter.key(lane(0n, other), 0)).toBe('unpaid')
    expect(await counter.key(mine, 2)).toBeUndefined()
    expect(await counter.key(mine, 0)).toBeInstanceOf(Response)
    expect(mine.used).toBe(4500n)
    await expect(createHlsCounter({ playlist }).key(mine, 0)).rejects.toMatchObject({ code: 'stream/no-keys' })
  })
})

describe('a window of access', () => {
  const start = 1_800_000_000_000
  const asked = (resource: string, headers = new Headers()) => ({ resource, seconds: 5n * oneUnit, headers })

  it('lasts as long as was paid, is prolonged, and is checked without a store', async () => {
    verifies('T7')
    let now = start
    const windows = createWindows({ secret, clock: () => now })
    const mine = lane(5000n)
    const first = await windows.open(mine, asked('/feed'))
    expect(first?.pass.exp).toBe(start + 5000)
    const headers = new Headers(first?.headers.map(([name, value]) => [name, value]))
    expect(headers.get('payment-stream')).toBe('v=1; ttl=5; until=1800000005000; refundable=0')
    now = start + 5000
    expect(await windows.read(headers, '/feed')).toEqual(first?.pass)
    now += 1
    expect(await windows.read(headers, '/feed')).toBeUndefined()
    now = start + 4000
    expect(await windows.open(mine, asked('/feed', headers))).toBeUndefined()
    mine.pay(3000n)
    expect((await windows.open(mine, asked('/feed', headers)))?.pass.exp).toBe(start + 8000)
    expect(mine.used).toBe(8000n)
    // Somebody else's pass, or one for another place, prolongs nothing.
    expect((await windows.open(lane(1000n, other), asked('/feed', headers)))?.pass.exp).toBe(now + 1000)
    expect((await windows.open(lane(1000n), asked('/other', headers)))?.pass.exp).toBe(now + 1000)
  })

  it('opens the edge, which asks nobody', async () => {
    const windows = createWindows({ secret, edge: { domain: 'shop.test' }, clock: () => start })
    const grant = await windows.open(lane(5000n), asked('/film/'))
    const cookie = grant?.headers.find(([name]) => name === 'Set-Cookie')?.[1] ?? ''
    expect(cookie).toMatch(/^__Secure-flow402x=\S+; Path=\/film\/; Domain=shop.test; Max-Age=5; Secure; HttpOnly; SameSite=Lax$/)
    const [shown = ''] = cookie.split(';')
    const request = new Request('https://cdn.shop.test/film/0.ts', { headers: { cookie: shown } })
    const at = (now: number) => createEdgeGate({ secret, clock: () => now }).admit(request)
    expect((await at(start + 5000))?.headers.get('cookie')).toBeNull()
    expect(await at(start + 5001)).toBeUndefined()
    expect(await createWindows({ secret, clock: () => start }).read(new Headers({ cookie: shown }), '/film/')).toBeUndefined()
  })
})
