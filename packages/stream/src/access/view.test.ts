import { verifies } from '@flow402x/testing/requirements'
import { expect, it } from 'vitest'
import { createPasses } from './pass.ts'
import { createViews } from './view.ts'

const secret = 'a secret of the seller, which is long enough'
let now = 1_800_000_000_000
const views = createViews({ secret, ttl: 3600, clock: () => now })
const film = { resource: '/film', viewer: '0xAbC' }

it('is seen again by who paid it, by header and by cookie, and by nobody else', async () => {
  verifies('T8')
  const { pass, ttl, headers } = await views.grant(film)
  expect(ttl).toBe(3600)
  const [[, header] = [], [, cookie = ''] = []] = headers
  expect(header).toBe(pass)
  expect(cookie).toMatch(/^__Host-flow402x-[0-9a-f]{32}=\S+; Path=\/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax$/)
  const [own = ''] = cookie.split(';')
  const shows = async (init: Record<string, string>, resource = '/film') => (await views.read(new Headers(init), resource)) !== undefined
  expect(await shows({ 'payment-pass': pass })).toBe(true)
  expect(await shows({ cookie: `a=1; ${own}; b=2` })).toBe(true)
  expect(await shows({ 'payment-pass': 'nonsense', cookie: own })).toBe(true)
  expect(await shows({})).toBe(false)
  expect(await shows({ 'payment-pass': pass }, '/other')).toBe(false)
  expect(await shows({ cookie: own }, '/other')).toBe(false)
  expect(await shows({ cookie: `__Host-flow402x-film=${pass}` })).toBe(false)
  const window = await createPasses({ secret, kind: 'window' }).issue({ sid: 'x', resource: '/film', exp: now + 1000 })
  expect(await shows({ 'payment-pass': window })).toBe(false)
  expect(
    await createViews({ secret: 'another secret of a seller, long enough' }).read(new Headers({ cookie: own }), '/film'),
  ).toBeUndefined()
  now += 3_600_000
  expect(await shows({ cookie: own })).toBe(true)
  now += 1
  expect(await shows({ cookie: own })).toBe(false)
})

it('is of this path alone, however it ends, and of paths in any script', async () => {
  verifies(['H3', 'FS1-VIEW-GRANT'])
  const shows = async (pass: string, resource: string) => (await views.read(new Headers({ 'payment-pass': pass }), resource)) !== undefined
  const long = (letter: string) => `/films/${encodeURIComponent(letter.repeat(40))}`
  for (const resource of ['/', '/films/', long('夢'), `${long('夢')}/`]) {
    const { pass, headers } = await views.grant({ ...film, resource })
    const cookie = headers.find(([name]) => name === 'Set-Cookie')?.[1].split(';')[0] ?? ''
    expect([pass.length < 512, await shows(pass, resource)]).toEqual([true, true])
    expect(await views.read(new Headers({ cookie }), resource)).toBeDefined()
    for (const other of ['/films/dear', '/films', long('庭'), `${resource}x`, `${long('夢')}/x`])
      expect(await shows(pass, other)).toBe(false)
  }
})

it('says nothing of its viewer', async () => {
  const { pass } = await views.grant(film)
  expect(
    Buffer.from(pass.split('.')[0] ?? '', 'base64url')
      .toString()
      .toLowerCase(),
  ).not.toContain('0xabc')
})
