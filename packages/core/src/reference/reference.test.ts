import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createReferences, expiryOf, type ReferenceTerms, referenceTag } from './reference.ts'

const secret = 'a secret of the seller, long enough'
const references = createReferences({ secret })
const expiry = 1_800_000_000
const terms: ReferenceTerms = {
  binding: `GET https://shop.example/x ${'00'.repeat(32)}`,
  network: 'eip155:84532',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  amount: '10000',
}

describe('a reference', () => {
  it('is 32 bytes that begin with its expiry, different each time, and known again without being kept', async () => {
    verifies('M22')
    const [one, other] = await Promise.all([references.make(terms, { expiry }), references.make(terms, { expiry })])
    expect(one).toMatch(/^6b49d200[0-9a-f]{56}$/)
    expect(expiryOf(one)).toBe(expiry)
    expect(one).not.toBe(other)
    for (const reference of [one, other]) expect(await references.knows(reference, terms)).toBe(true)
    const restarted = createReferences({ secret })
    expect(await restarted.knows(one, terms)).toBe(true)
  })

  it('is bound to everything it was made for: any single change ends it', async () => {
    verifies(['M22', 'A2'])
    const reference = await references.make(terms, { expiry })
    const [method, url, body] = terms.binding.split(' ')
    const changed: readonly [string, Partial<ReferenceTerms>][] = [
      ['method', { binding: `POST ${url} ${body}` }],
      ['origin', { binding: `${method} https://shop.example.org/x ${body}` }],
      ['scheme of the origin', { binding: `${method} http://shop.example/x ${body}` }],
      ['route', { binding: `${method} https://shop.example/y ${body}` }],
      ['query', { binding: `${method} https://shop.example/x?a=1 ${body}` }],
      ['body', { binding: `${method} ${url} ${'01'.repeat(32)}` }],
      ['network', { network: 'eip155:8453' }],
      ['asset', { asset: '0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE' }],
      ['payee', { payTo: terms.asset }],
      ['amount', { amount: '10001' }],
    ]
    for (const [what, change] of changed) expect([what, await references.knows(reference, { ...terms, ...change })]).toEqual([what, false])
    const later = `${(expiry + 1).toString(16)}${reference.slice(8)}`
    expect([expiryOf(later), await references.knows(later, terms)]).toEqual([expiry + 1, false])
  })

  it('is no more after any change of any of its terms or letters', async () => {
    verifies('M22')
    const reference = await references.make(terms, { expiry })
    const change = fc.record({ name: fc.constantFrom(...(['binding', 'network', 'asset', 'payTo'] as const)), value: fc.string() })
    await fc.assert(
      fc.asyncProperty(change, async ({ name, value }) => {
        fc.pre(value.toLowerCase() !== terms[name].toLowerCase())
        expect(await references.knows(reference, { ...terms, [name]: value })).toBe(false)
      }),
    )
    await fc.assert(
      fc.asyncProperty(fc.bigInt({ min: 0n, max: 2n ** 256n }), async (amount) => {
        expect(await references.knows(reference, { ...terms, amount: `${amount}` })).toBe(amount === 10_000n)
      }),
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(63), fc.constantFrom(...'0123456789abcdef'), async (at, letter) => {
        fc.pre(reference[at] !== letter)
        expect(await references.knows(`${reference.slice(0, at)}${letter}${reference.slice(at + 1)}`, terms)).toBe(false)
      }),
    )
  })

  it('cannot be put together from the parts of others', async () => {
    verifies('M22')
    const [one, other] = await Promise.all([references.make(terms, { expiry }), references.make(terms, { expiry })])
    expect(await references.knows(`${one.slice(0, 32)}${other.slice(32)}`, terms)).toBe(false)
    // A member cannot take letters from its neighbour.
    const shifted = { ...terms, network: `${terms.network}${terms.asset[0]}`, asset: terms.asset.slice(1) }
    expect(await references.knows(one, shifted)).toBe(false)
  })

  it('is the same for other spellings of the same terms', async () => {
    verifies('M11')
    const reference = await references.make(terms, { expiry })
    const spelled = { ...terms, asset: terms.asset.toLowerCase(), payTo: terms.payTo.toUpperCase().replace('0X', '0x'), amount: '0010000' }
    expect(await references.knows(reference, spelled)).toBe(true)
    const solana = { ...terms, network: 'solana:x', payTo: 'CqMbRgMu' }
    const own = await references.make(solana, { expiry })
    expect([await references.knows(own, solana), await references.knows(own, { ...solana, payTo: 'cqmbrgmu' })]).toEqual([true, false])
  })

  it('is never taken from text that is none', async () => {
    const good = await references.make(terms, { expiry })
    for (const bad of ['', good.toUpperCase(), `0x${good}`, good.slice(1), `${good}00`, 'g'.repeat(64), ` ${good}`]) {
      expect([bad, expiryOf(bad), await references.knows(bad, terms)]).toEqual([bad, undefined, false])
    }
    await fc.assert(fc.asyncProperty(fc.string(), async (bad) => !(await references.knows(bad, terms))))
  })
})

describe('a secret', () => {
  it('can be replaced while its references live, and ends them when it is taken out', async () => {
    verifies('M24')
    const old = await references.make(terms, { expiry })
    const both = createReferences({ secret: ['the newer secret, which is as long', secret] })
    expect([await both.knows(old, terms), await both.knows(await both.make(terms, { expiry }), terms)]).toEqual([true, true])
    const newer = createReferences({ secret: ['the newer secret, which is as long'] })
    expect([await newer.knows(old, terms), await newer.knows(await both.make(terms, { expiry }), terms)]).toEqual([false, true])
  })

  it('is refused where it could be guessed, and is not told', () => {
    for (const weak of ['short', [], [secret, 'short']]) {
      expect(() => createReferences({ secret: weak })).toThrow(expect.objectContaining({ code: 'config/weak-secret' }))
    }
    expect(() => createReferences({ secret: 'short' })).toThrow(expect.not.objectContaining({ message: expect.stringContaining('short') }))
  })
})

it('only the SHA-256 of a reference goes on chain', async () => {
  verifies('M22')
  const tag = await referenceTag('ab'.repeat(32))
  expect(Buffer.from(tag).toString('hex')).toMatchInlineSnapshot(`"9a2db2e23f1504cd056606553ac049c5e718e8f9ce9233876df1a7a1821af885"`)
})
