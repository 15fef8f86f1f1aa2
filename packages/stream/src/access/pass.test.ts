import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEdgeGate, edgeCookie, passPath } from './edge-gate.ts'
import { createPasses } from './pass.ts'

const secret = 'a secret of the seller, which is long enough'
const older = 'the secret that the seller used before this one'
const windows = createPasses({ secret, kind: 'window' })
const until = 1_800_000_000_000
const pass = { sid: 'AAECAwQFBgcICQoLDA0ODw', resource: '/feed', exp: until }

describe('a pass', () => {
  it('is good until its time, and not one millisecond longer, without a store', async () => {
    verifies('T7')
    const text = await windows.issue(pass)
    expect(text).toMatch(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
    expect(await windows.read(text, { resource: '/feed', now: until })).toEqual(pass)
    expect(await windows.read(text, { resource: '/feed', now: until + 1 })).toBeUndefined()
  })

  it('opens its own resource, and what lies below where it ends with a slash', async () => {
    const folder = await windows.issue({ ...pass, resource: '/video/' })
    const opens = async (text: string, resource: string) => (await windows.read(text, { resource, now: 0 })) !== undefined
    const one = await windows.issue(pass)
    expect(await Promise.all(['/feed', '/feed/1', '/feeds', '/'].map((path) => opens(one, path)))).toEqual([true, false, false, false])
    const paths = ['/video/', '/video/a/1.ts', '/video', '/video/../feed', '/video/%2e%2e/feed', '/video/a/..%2f..%2ffeed', '/video/..']
    expect(await Promise.all(paths.map((path) => opens(folder, path)))).toEqual([true, true, false, false, false, false, false])
  })

  it('is known while its secret is, and opens nothing of another kind', async () => {
    const before = await createPasses({ secret: older, kind: 'window' }).issue(pass)
    const rotated = createPasses({ secret: [secret, older], kind: 'window' })
    const now = { resource: '/feed', now: 0 }
    expect(await rotated.read(before, now)).toEqual(pass)
    expect(await windows.read(before, now)).toBeUndefined()
    expect(await windows.read(await rotated.issue(pass), now)).toEqual(pass)
    expect(await createPasses({ secret, kind: 'view' }).read(await windows.issue(pass), now)).toBeUndefined()
    expect(() => createPasses({ secret: 'short', kind: 'edge' })).toThrow(expect.objectContaining({ code: 'config/weak-secret' }))
  })

  it('is refused with any letter changed, and whatever else it may be', async () => {
    const text = await windows.issue(pass)
    const now = { resource: '/feed', now: 0 }
    for (const at of text.slice(0, -1).split('').keys()) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
      expect(await windows.read(changed, now)).toBeUndefined()
    }
    await fc.assert(fc.asyncProperty(fc.string(), async (noise) => (await windows.read(noise, now)) === undefined))
    const [said = ''] = text.split('.')
    for (const odd of [undefined, '', '.', said, `${said}.`, `${text}=`, ` ${text}`, `${'A'.repeat(4096)}.${'A'.repeat(43)}`])
      expect(await windows.read(odd, now)).toBeUndefined()
  })

  it('opens nothing to a path that climbs, however what reads it after us decodes it', async () => {
    verifies('H3')
    const good = await windows.issue({ ...pass, resource: '/video/' })
    const opens = async (resource: string) => (await windows.read(good, { resource, now: 0 })) !== undefined
    for (const path of ['/video/a..b', '/video/...', '/video/a%2fb', '/video/.hidden/a', '/video/a;v=1'])
      expect([path, await opens(path)]).toEqual([path, true])
    const slashes = ['/', '%2f', '%2F', '%5c', '\\']
    const dots = ['..', '%2e%2e', '.%2E', '%2e.']
    for (const before of slashes)
      for (const up of dots)
        for (const after of [...slashes, ';', ';v=1/', '%3b/', ''])
          for (const path of [`/video/a${before}${up}${after}${up}${after}feed`, `/video/a${before}${up}${after}`])
            if (after !== '' || path.endsWith(up)) expect([path, await opens(path)]).toEqual([path, false])
  })
})

describe('a gate at the edge', () => {
  const issue = (exp: number) => createPasses({ secret, kind: 'edge' }).issue({ ...pass, resource: '/video/', exp })
  const gate = createEdgeGate({ secret, clock: () => until })
  const at = (path: string, cookie?: string) =>
    new Request(`https://shop.test${path}`, { headers: cookie === undefined ? {} : { cookie, range: 'bytes=0-9' } })

  it('lets through who shows a pass, and keeps the pass from cache and origin', async () => {
    const good = await issue(until)
    const byCookie = await gate.admit(at('/video/1.ts?x=1', `a=1; ${edgeCookie}=${good}; b=2`))
    expect([byCookie?.url, byCookie?.headers.get('cookie'), byCookie?.headers.get('range')]).toEqual([
      'https://shop.test/video/1.ts?x=1',
      'a=1; b=2',
      'bytes=0-9',
    ])
    const byPath = await gate.admit(at(`${passPath}${good}/video/1.ts`))
    expect([byPath?.url, byPath?.headers.get('cookie')]).toEqual(['https://shop.test/video/1.ts', null])
  })

  it('lets nobody else through', async () => {
    const late = await issue(until - 1)
    const good = await issue(until)
    const window = await windows.issue({ ...pass, resource: '/video/' })
    const requests = [
      at('/video/1.ts'),
      at('/video/1.ts', `${edgeCookie}=${late}`),
      at('/video/1.ts', `${edgeCookie}=${window}`),
      at('/other/1.ts', `${edgeCookie}=${good}`),
      at(`${passPath}${good}/other/1.ts`),
      at(`${passPath}${good}`),
      at(`${passPath}${late}/video/1.ts`, `${edgeCookie}=${good}`),
    ]
    expect(await Promise.all(requests.map((request) => gate.admit(request)))).toEqual(requests.map(() => undefined))
  })

  it('is a worker of a few lines', async () => {
    const cache = (request: Request) => fetchFrom(request)
    const gate = createEdgeGate({ secret })
    const worker = {
      async fetch(request: Request): Promise<Response> {
        const admitted = await gate.admit(request)
        return admitted === undefined ? new Response('Payment required', { status: 402 }) : cache(admitted)
      },
    }
    expect((await worker.fetch(at('/video/1.ts'))).status).toBe(402)
    const paying = at('/video/1.ts', `${edgeCookie}=${await issue(Date.now() + 60_000)}`)
    expect(await (await worker.fetch(paying)).text()).toBe('from the cache: /video/1.ts')
  })
})

function fetchFrom({ url }: Request): Response {
  return new Response(`from the cache: ${new URL(url).pathname}`)
}
