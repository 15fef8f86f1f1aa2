import { assets, findAsset, type PaymentRequirements } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pen } from '../fixtures/pen.ts'
import { answer, cent, type Seller, settled, startSeller, usdc } from '../fixtures/seller.ts'
import { createClient } from './client.ts'

let seller: Seller
// Sent as it is, unchecked, for a hostile seller checks nothing.
let offers: readonly unknown[] = []
const headerOf = (accepts: readonly unknown[]) =>
  Buffer.from(JSON.stringify({ x402Version: 2, resource: { url: 'https://shop.example/' }, accepts })).toString('base64')
beforeAll(async () => {
  seller = await startSeller(({ payment }, response) => {
    if (payment === undefined) response.writeHead(402, { 'PAYMENT-REQUIRED': headerOf(offers) }).end()
    else answer(response, settled)
  })
})
afterAll(() => seller.close())

describe('A17: offers that must not be taken', () => {
  verifies('A17')
  const table: [string, Partial<PaymentRequirements>][] = [
    ['an asset nobody knows', { asset: '0x00000000000000000000000000000000deadbeef' }],
    ['a symbol in place of an address', { asset: 'USDC' }],
    ['a currency in place of an address', { asset: 'usd' }],
    [
      'a lookalike that claims 18 decimals',
      { asset: '0x036cbd53842c5426634e7929541ec2318f3dcf7f', extra: { name: 'USDC', version: '2', decimals: 18 } },
    ],
    ['an asset of another network', { network: 'eip155:8453' }],
    [
      'a network without a scheme',
      { network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', asset: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v' },
    ],
    ['a prefix of the family', { network: 'eip1559:84532' }],
    ['another scheme', { scheme: 'upto' }],
    ['too much', { amount: '1000001' }],
    ['far too much', { amount: '9'.repeat(78) }],
    ['nothing', { amount: '0' }],
    ['no time', { maxTimeoutSeconds: 0 }],
    ['a form the scheme cannot pay', { extra: { assetTransferMethod: 'permit2' } }],
  ]
  const scheme = pen({ supports: ({ extra }) => extra?.assetTransferMethod !== 'permit2' })

  it.each(table)('%s', async (_, change) => {
    offers = [{ ...cent, ...change }]
    const refused = createClient({ schemes: [scheme] }).fetch(seller.url)
    await expect(refused).rejects.toMatchObject({
      code: 'client/no-payable-offer',
      moneyMoved: 'no',
      context: { leftOut: [{ why: expect.any(String) }] },
    })
    expect(scheme.signed).toEqual([])
  })

  it('names every offer and its reason in the message', async () => {
    offers = table.slice(0, 2).map(([, change]) => ({ ...cent, ...change }))
    await expect(createClient({ schemes: [scheme] }).fetch(seller.url)).rejects.toThrow(
      /exact on eip155:84532, 10000 of 0x0+deadbeef: the asset is not known; exact on eip155:84532, 10000 of USDC: the asset is not known\. Nothing was signed/,
    )
  })
})

describe('H6: whatever is offered', () => {
  const known = assets.map(({ network, address }) => ({ network, asset: address }))
  const pair = fc.oneof(
    fc.constantFrom(...known),
    fc.constant({ network: cent.network, asset: usdc.toLowerCase() }),
    fc.record({
      network: fc.constantFrom('eip155:1', 'eip155:84532', 'base', 'eip155:', 'solana:x'),
      asset: fc.constantFrom('USDC', 'USD', '0x', usdc, usdc.slice(0, -1)),
    }),
  )
  // One malformed entry spoils a whole header, so most are well-formed and hostile in what they say.
  const usually = <Value>(normal: fc.Arbitrary<Value>, odd: fc.Arbitrary<unknown>) =>
    fc.oneof({ weight: 24, arbitrary: normal }, { weight: 1, arbitrary: odd })
  const amount = usually(
    fc.oneof(fc.bigInt({ min: 0n, max: 1_000_000n }), fc.bigInt({ min: 0n, max: 3n * 10n ** 18n })).map(String),
    fc.constantFrom('', ' 1', '1.5', '-1', '0x10', '1e6', '٣', 10_000, null),
  )
  const offer = fc
    .record(
      {
        pair,
        amount,
        scheme: usually(fc.constantFrom('exact', 'exact', 'exact', 'upto', '__proto__'), fc.constant('')),
        payTo: usually(fc.constantFrom(cent.payTo, 'anyone'), fc.constant('')),
        maxTimeoutSeconds: usually(fc.constantFrom(300, 0, 1e300, 0.5, 31_536_000), fc.double({ noNaN: true })),
        extra: fc.oneof(
          fc.constant({ name: 'USDC', version: '2' }),
          fc.constantFrom(null, undefined, []),
          fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
        ),
      },
      { requiredKeys: ['pair', 'amount', 'scheme', 'payTo', 'maxTimeoutSeconds'] },
    )
    .map(({ pair: named, ...rest }) => ({ ...named, ...rest }))

  it('what is signed is a known asset, at most the cap, for at most the longest time', async () => {
    verifies(['H6', 'A17', 'A18'])
    let signatures = 0
    await fc.assert(
      fc.asyncProperty(fc.array(offer, { minLength: 1, maxLength: 4 }), async (accepts) => {
        offers = accepts
        const scheme = pen()
        const client = createClient({ schemes: [scheme], budget: { perPayment: '$0.5' } })
        const result = await client.fetch(seller.url).then(
          ({ status }) => status,
          (error) => error.code,
        )
        expect([200, 'client/no-payable-offer', 'client/bad-offer']).toContain(result)
        expect(scheme.signed.length).toBe(result === 200 ? 1 : 0)
        for (const { requirements, options } of scheme.signed) {
          const asset = findAsset(requirements.network, requirements.asset)
          expect(asset?.address.toLowerCase()).toBe(requirements.asset.toLowerCase())
          expect(BigInt(requirements.amount)).toBeGreaterThan(0n)
          expect(BigInt(requirements.amount) * 2n).toBeLessThanOrEqual(10n ** BigInt(asset?.decimals ?? 0))
          expect(options.maxTimeoutSeconds).toBeGreaterThanOrEqual(1)
          expect(options.maxTimeoutSeconds).toBeLessThanOrEqual(600)
          expect(accepts).toContainEqual(requirements)
          signatures++
        }
      }),
      { numRuns: 400 },
    )
    // A property that never pays would prove nothing.
    expect(signatures).toBeGreaterThan(0)
  })

  it('a header of any bytes is read or refused, and costs nothing', async () => {
    const scheme = pen()
    const client = createClient({ schemes: [scheme] })
    const raw = await startSeller((_, response) => response.writeHead(402, { 'PAYMENT-REQUIRED': header }).end())
    let header = ''
    const text = fc.oneof(
      fc.base64String(),
      fc.stringMatching(/^[!-~]{0,60}$/),
      fc.json().map((json) => Buffer.from(json).toString('base64')),
    )
    await fc
      .assert(
        fc.asyncProperty(text, async (value) => {
          header = value
          const code = await client.fetch(raw.url).then(
            () => 'answered',
            (error) => error.code,
          )
          expect(code).toBe('client/bad-offer')
        }),
        { numRuns: 200 },
      )
      .finally(() => raw.close())
    expect(scheme.signed).toEqual([])
  })
})
