import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { assetId, findAsset } from '../protocol/asset.ts'
import { echoExtensions } from '../protocol/extension.ts'
import { paymentRequiredHeader } from '../protocol/headers.ts'
import type { PaymentRequired, PaymentRequirements } from '../protocol/payment.ts'
import { oneUnit } from './cost.ts'
import { declareStream, isSliding, readStreamOffer, readStreamTerms, type StreamTerms, streamKey } from './offer.ts'

const network = 'eip155:8453'
const usdc = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'
const payTo = '0x1111111111111111111111111111111111111111'
const terms: StreamTerms = {
  unit: 'second',
  clock: 'wall',
  rate: { numerator: 10_000n, denominator: 1n },
  buy: 5n * oneUnit,
  tick: oneUnit,
  window: 2n * oneUnit,
  windowMax: 30n * oneUnit,
  tickUrl: '/live/tick',
  ws: '/live/ws',
  refundable: true,
}
const channel: PaymentRequirements = { scheme: 'batch-settlement', network, amount: '50000', asset: usdc, payTo, maxTimeoutSeconds: 60 }
const exact: PaymentRequirements = { ...channel, scheme: 'exact', amount: '200000' }
const headers = {
  'Payment-Address': payTo,
  'Payment-Rate': '0.01 USD/second',
  'Payment-Token': assetId({ network, address: usdc }),
  Network: network,
  'Payment-Stream': 'v=1; clock=wall; buy=5; tick=1; window=2; max-window=30; tick-url="/live/tick"; refundable=1',
}

describe('what a 402 declares', () => {
  it('is small, and read back as it was meant', () => {
    verifies('FS1-OFFER')
    const declared = declareStream(terms)
    expect(JSON.stringify(declared)).toBe(
      '{"info":{"v":"1","unit":"second","clock":"wall","rate":"10000/1","buy":5,"tick":1,"window":2,"windowMax":30,"tickUrl":"/live/tick","ws":"/live/ws"}}',
    )
    expect(readStreamTerms({ [streamKey]: declared })).toEqual(terms)
    const { ws: _, ...plain } = { ...terms, refundable: false, buy: 500_000n }
    expect(readStreamTerms({ [streamKey]: declareStream(plain) })).toEqual(plain)
  })

  it.each<[string, Partial<StreamTerms>]>([
    ['a path that leads elsewhere', { tickUrl: '//evil.example/tick' }],
    ['a path too long to be copied into payments', { tickUrl: `/${'a'.repeat(200)}` }],
    ['no rate', { rate: { numerator: 0n, denominator: 1n } }],
    ['a window of nothing', { window: 0n }],
    ['a number that JSON cannot hold', { windowMax: 123_456_789_123_456_789n }],
    ['a unit of two words', { unit: 'two words' }],
  ])('is refused with %s', (_, change) => {
    verifies('FS1-OFFER')
    expect(() => declareStream({ ...terms, ...change })).toThrow(expect.objectContaining({ code: 'stream/bad-offer' }))
  })

  it('is none where another version is spoken, and a payer of windows echoes it as he found it', () => {
    verifies('FS1-OFFER')
    const { info } = declareStream(terms)
    expect(readStreamTerms({ [streamKey]: { info: { ...info, v: '2' } } })).toBeUndefined()
    expect([readStreamTerms(undefined), readStreamTerms({}), readStreamTerms({ [streamKey]: null })]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    const payment = { x402Version: 2 as const, accepted: channel, payload: {} }
    const required = offer()
    const echo = (added: Record<string, Record<string, unknown>>) => ({ ...payment, extensions: echoExtensions(required, { added }) })
    expect(isSliding(echo({}))).toBe(false)
    expect(isSliding(echo({ [streamKey]: { grade: 'B' } }))).toBe(true)
    expect(readStreamTerms(echo({ [streamKey]: { grade: 'B' } }).extensions)).toEqual(terms)
  })
})

describe('an offer is believed', () => {
  it('with what each of its entries buys', () => {
    verifies('FS1-OFFER')
    const { entries } = read() ?? { entries: [] }
    expect(entries.map(({ units }) => units)).toEqual([5n * oneUnit, 20n * oneUnit])
    expect(read({ headers: {} })?.terms).toEqual(terms)
  })

  it.each<[string, Record<string, string>]>([
    ['friendly words', { Network: 'Base', 'Payment-Token': 'USDC' }],
    [
      'one word for each entry',
      { 'Payment-Address': `${payTo}, ${payTo.toUpperCase().replace('X', 'x')}`, Network: 'base , BASE_MAINNET'.replace('_', '-') },
    ],
    ['a rate that is written otherwise', { 'Payment-Rate': '0.6 USD/minute' }],
    ['a rate in a currency that nobody here can compare', { 'Payment-Rate': '1 EUR/second' }],
    ['keys that are not known', { 'Payment-Stream': 'v=1; colour=blue' }],
  ])('with %s in its headers', (_, change) => {
    verifies('FS1-OFFER')
    expect(read({ headers: { ...headers, ...change } })?.terms).toEqual(terms)
  })

  it('where an entry is in an asset of other decimals, by its own', () => {
    verifies('FS1-OFFER')
    const dai = { ...exact, network: 'eip155:1', asset: '0x6B175474E89094C44Da98b954EedeAC495271d0F', amount: `${50_000n * 10n ** 12n}` }
    expect(read({ accepts: [channel, dai], headers: {} })?.entries.map(({ units }) => units)).toEqual([5n * oneUnit, 5n * oneUnit])
    expect(refusal({ accepts: [channel, { ...dai, amount: '50000' }], headers: {} })).toContain('5 units cost')
  })

  it('but never in an asset that its payer does not know', () => {
    verifies('FS1-OFFER')
    const unknown = { ...exact, asset: '0x2222222222222222222222222222222222222222' }
    expect(read({ accepts: [channel, unknown], headers: {} })?.entries.map(({ requirements }) => requirements)).toEqual([channel])
  })
})

describe('an offer is refused', () => {
  it.each<[string, Record<string, string>]>([
    ['Payment-Address', { 'Payment-Address': usdc }],
    ['Payment-Address', { 'Payment-Address': `${payTo}, ${payTo}, ${payTo}` }],
    ['Network', { Network: 'polygon' }],
    ['Network', { Network: 'nowhere' }],
    ['Payment-Token', { 'Payment-Token': 'DAI' }],
    ['Payment-Token', { 'Payment-Token': `${network}/erc20:${payTo}` }],
    ['Payment-Rate', { 'Payment-Rate': '0.02 USD/second' }],
    ['Payment-Rate', { 'Payment-Rate': '0.01 USD/token' }],
    ['Payment-Rate could not be read', { 'Payment-Rate': '0.01' }],
    ['buy of Payment-Stream', { 'Payment-Stream': 'v=1; buy=6' }],
    ['clock of Payment-Stream', { 'Payment-Stream': 'v=1; clock=media' }],
    ['tick-url of Payment-Stream', { 'Payment-Stream': 'v=1; tick-url="/other"' }],
    ['max-window of Payment-Stream', { 'Payment-Stream': 'v=1; max-window=60' }],
    ['refundable of Payment-Stream', { 'Payment-Stream': 'v=1; refundable=0' }],
    ['v of Payment-Stream', { 'Payment-Stream': 'v=2' }],
    ['Payment-Stream could not be read', { 'Payment-Stream': 'v=1; v=1' }],
  ])('where %s says something else', (name, change) => {
    verifies('FS1-OFFER')
    expect(refusal({ headers: { ...headers, ...change } })).toContain(name)
  })

  it.each(['49998', '50002', '0'])('where a window of channels costs %s', (amount) => {
    verifies('FS1-OFFER')
    expect(refusal({ accepts: [{ ...channel, amount }] })).toContain(`${amount} is asked`)
  })

  it('where another way buys less than a window', () => {
    verifies('FS1-OFFER')
    expect(refusal({ accepts: [channel, { ...exact, amount: '49998' }] })).toContain('49998 is asked in exact')
  })

  it('by one atomic unit not', () => {
    verifies('FS1-OFFER')
    for (const amount of ['49999', '50001']) expect(read({ accepts: [{ ...channel, amount }], headers: {} })).toBeDefined()
  })
})

type Scene = { readonly accepts?: PaymentRequirements[]; readonly headers?: Record<string, string> }

function offer(accepts: PaymentRequirements[] = [channel, exact]): PaymentRequired {
  const required = {
    x402Version: 2 as const,
    resource: { url: 'https://a.example/live' },
    accepts,
    extensions: { [streamKey]: declareStream(terms) },
  }
  return paymentRequiredHeader.decode(paymentRequiredHeader.encode(required))
}

function read({ accepts, headers: said = headers }: Scene = {}) {
  const assetOf = ({ network: on, asset }: PaymentRequirements) => findAsset(on, asset)
  return readStreamOffer(offer(accepts), { headers: new Headers(said), assetOf })
}

function refusal(scene: Scene): string {
  try {
    read(scene)
    return 'it was believed'
  } catch (error) {
    expect(error).toMatchObject({ code: 'stream/offer-inconsistent', moneyMoved: 'no' })
    return error instanceof Error ? error.message : ''
  }
}
