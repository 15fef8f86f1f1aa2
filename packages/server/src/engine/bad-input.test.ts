import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type PaymentPayload, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
const facilitator = answeringFacilitator(scheme)
let runs = 0
const server = createServer({ facilitator, schemes: [scheme], store: memoryStore() })
const charge = paid(server, { price: '$0.01' }, () => {
  runs += 1
  return new Response('goods')
})
const ask = (headers: HeadersInit = {}) => charge(new Request('http://shop.test/', { headers }))
const required = paymentRequiredHeader.decode((await ask()).headers.get('PAYMENT-REQUIRED') ?? '')
const good = await preparePayment(payer, { required, id: 'a_secret_of_the_payer_0001' })
const header = paymentSignatureHeader.encode(good)
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')
const pays = (value: unknown) => ask({ 'PAYMENT-SIGNATURE': encode(value) })

/** Refused by the server alone: with a reason, without a run, without a word to the facilitator. */
async function expectRefused(answer: Response, status: number, error: string): Promise<void> {
  expect([answer.status, runs, facilitator.verified.length, facilitator.settled.length]).toEqual([status, 0, 0, 0])
  expect(await answer.json()).toMatchObject({ status, error })
  expect(answer.headers.get('Cache-Control')).toBe('no-store')
}

describe('what cannot be read is 400 (A13)', () => {
  verifies(['A13', 'HTTP-MALFORMED', 'PAYMENT-ID'])
  const headers: readonly [string, HeadersInit][] = [
    ['nothing', { 'PAYMENT-SIGNATURE': '' }],
    ['no base64', { 'PAYMENT-SIGNATURE': '{"x402Version":2}' }],
    ['the alphabet of URLs', { 'PAYMENT-SIGNATURE': `${header.slice(0, 40)}-_${header.slice(42)}` }],
    ['white space inside', { 'PAYMENT-SIGNATURE': `${header.slice(0, 40)} ${header.slice(40)}` }],
    ['padding inside', { 'PAYMENT-SIGNATURE': `${header.slice(0, 40)}=${header.slice(40)}` }],
    ['a lonely letter', { 'PAYMENT-SIGNATURE': 'A' }],
    ['no JSON', { 'PAYMENT-SIGNATURE': Buffer.from('{').toString('base64') }],
    ['no UTF-8', { 'PAYMENT-SIGNATURE': Buffer.from([0x22, 0xff, 0x22]).toString('base64') }],
    ['a number', { 'PAYMENT-SIGNATURE': encode(2) }],
    ['null', { 'PAYMENT-SIGNATURE': encode(null) }],
    ['more than 8 kB', { 'PAYMENT-SIGNATURE': encode({ ...good, note: 'x'.repeat(8192) }) }],
    ['no payload', { 'PAYMENT-SIGNATURE': encode({ ...good, payload: undefined }) }],
    [
      'a network that is no text and has its own toString',
      { 'PAYMENT-SIGNATURE': encode({ ...good, accepted: { ...good.accepted, network: { toString: 1, valueOf: 1 } } }) },
    ],
    ['no accepted', { 'PAYMENT-SIGNATURE': encode({ ...good, accepted: undefined }) }],
    ['both headers', { 'PAYMENT-SIGNATURE': header, 'X-PAYMENT': header }],
    [
      'one header twice',
      [
        ['PAYMENT-SIGNATURE', header],
        ['PAYMENT-SIGNATURE', header],
      ],
    ],
    ['two joined by a comma', { 'PAYMENT-SIGNATURE': `${header},${header}` }],
    [
      'the old header twice',
      [
        ['X-PAYMENT', header],
        ['X-PAYMENT', header],
      ],
    ],
    ['the old header, unreadable', { 'X-PAYMENT': 'not base64!' }],
  ]
  it.each(headers)('%s', async (_, given) => expectRefused(await ask(given), 400, 'invalid_payload'))

  it.each([3, '2', 0, undefined])('x402Version %j', async (x402Version) => {
    await expectRefused(await pays({ ...good, x402Version }), 400, 'invalid_x402_version')
  })

  it.each(['short', 'x'.repeat(129), 'sixteen letters!', 7])('the payment id %j', async (id) => {
    const extensions = { 'payment-identifier': { info: { required: false, id } } }
    const answer = await pays({ ...good, extensions })
    expect([answer.status, runs, facilitator.verified.length]).toEqual([400, 0, 0])
    expect(await answer.json()).toMatchObject({ code: 'payment/bad-identifier', moneyMoved: 'no' })
  })
})

describe('what pays none of the offers is 402, with the offers', () => {
  const changed: readonly [string, Partial<PaymentPayload['accepted']>][] = [
    ['network', { network: 'eip155:8453' }],
    ['amount', { amount: '1' }],
    ['asset', { asset: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913' }],
    ['payTo', { payTo: buyer?.address ?? '' }],
    ['scheme', { scheme: 'upto' }],
    ['time', { maxTimeoutSeconds: 301 }],
    ['domain', { extra: { name: 'USD Coin', version: '2' } }],
    ['additional field', { discount: '100%' }],
  ]
  it.each(changed)('another %s', async (_, change) => {
    verifies(['MATCH', 'HTTP-NO-MATCH', 'A17'])
    const answer = await pays({ ...good, accepted: { ...good.accepted, ...change } })
    expect(paymentRequiredHeader.decode(answer.headers.get('PAYMENT-REQUIRED') ?? '').accepts).toEqual(required.accepts)
    await expectRefused(answer, 402, 'No matching payment requirements')
  })

  it('a v1 payment on another network, or of another scheme', async () => {
    for (const change of [{ network: 'base' }, { network: 'nowhere' }, { scheme: 'upto' }]) {
      const v1 = { x402Version: 1, scheme: 'exact', network: 'base-sepolia', payload: good.payload, ...change }
      await expectRefused(await ask({ 'X-PAYMENT': encode(v1) }), 402, 'No matching payment requirements')
    }
  })

  it('an altered extension', async () => {
    verifies('ECHO')
    const extensions = { 'payment-identifier': { info: { required: true, id: 'a_secret_of_the_payer_0001' } } }
    await expectRefused(await pays({ ...good, extensions }), 402, 'extension_echo_mismatch')
  })
})

describe('what the signed message says is compared with what was asked', () => {
  const now = Math.floor(Date.now() / 1000)
  const before = 'invalid_exact_evm_payload_authorization_valid_before'
  const signed: readonly [string, object, string][] = [
    ['expired', { validBefore: `${now - 1}` }, before],
    ['nearly expired', { validBefore: `${now + 4}` }, before],
    ['valid for too long', { validBefore: `${now + 400}` }, before],
    ['valid for ever', { validBefore: `${2n ** 256n - 1n}` }, before],
    ['not yet valid', { validAfter: `${now + 60}` }, 'invalid_exact_evm_payload_authorization_valid_after'],
    ['too little', { value: '9999' }, 'invalid_exact_evm_payload_authorization_value_mismatch'],
    ['too much', { value: '10001' }, 'invalid_exact_evm_payload_authorization_value_mismatch'],
    ['to another payee', { to: buyer?.address }, 'invalid_exact_evm_recipient_mismatch'],
    ['no number', { value: '1e4' }, 'invalid_payload'],
    ['a negative number', { value: '-10000' }, 'invalid_payload'],
    ['beyond 256 bits', { value: `${2n ** 256n}` }, 'invalid_payload'],
    ['a short nonce', { nonce: '0x01' }, 'invalid_payload'],
    ['no payer', { from: undefined }, 'invalid_payload'],
  ]
  it.each(signed)('%s', async (_, change, reason) => {
    verifies(['A26', 'M12'])
    const authorization = Object.assign({}, good.payload.authorization, change)
    await expectRefused(await pays({ ...good, payload: { ...good.payload, authorization } }), 402, reason)
  })

  it('a payload of another kind', async () => {
    for (const payload of [{}, { transaction: 'AAAA' }, { ...good.payload, signature: 'hello' }]) {
      await expectRefused(await pays({ ...good, payload }), 402, 'invalid_payload')
    }
  })

  it("a bad signature is the facilitator's verdict, and a missing allowance is 412", async () => {
    verifies('HTTP-ALLOWANCE')
    const verify = facilitator.verify
    for (const [reason, status] of [
      ['invalid_exact_evm_signature', 402],
      ['permit2_allowance_required', 412],
    ] as const) {
      facilitator.verify = async () => ({ valid: false, reason })
      const answer = await pays(good)
      expect(paymentRequiredHeader.decode(answer.headers.get('PAYMENT-REQUIRED') ?? '').error).toBe(reason)
      await expectRefused(answer, status, reason)
    }
    facilitator.verify = async () => ({ valid: true, payer: seller?.address ?? '' })
    await expectRefused(await pays(good), 402, 'invalid_payload')
    facilitator.verify = verify
  })
})

describe('whatever is sent, nobody gets in and nothing breaks', () => {
  const printable = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 400 })
  const names = fc.constantFrom('PAYMENT-SIGNATURE', 'X-PAYMENT')
  const refuses = async (headers: Record<string, string>) => {
    const answer = await ask(headers)
    expect([400, 402]).toContain(answer.status)
    expect([runs, facilitator.settled.length]).toEqual([0, 0])
  }

  it('random header bytes', async () => {
    await fc.assert(
      fc.asyncProperty(names, printable, (name, value) => refuses({ [name]: value })),
      { numRuns: 800 },
    )
  })

  it('random JSON', async () => {
    await fc.assert(
      fc.asyncProperty(names, fc.jsonValue(), (name, value) => refuses({ [name]: encode(value) })),
      { numRuns: 800 },
    )
  })

  it('a good payment with one place changed', async () => {
    // The id may be any other: it names no payment and buys nothing by itself, so it is left alone here. So is what nobody reads.
    const { extensions: _, resource: __, ...bare } = good
    const verify = facilitator.verify
    facilitator.verify = async () => ({ valid: false, reason: 'invalid_exact_evm_signature' })
    const places = pathsOf(bare)
    await fc.assert(
      fc.asyncProperty(names, fc.constantFrom(...places), fc.jsonValue(), (name, path, value) =>
        refuses({ [name]: encode(replaced(bare, { path, value })) }),
      ),
      { numRuns: 1200 },
    )
    facilitator.verify = verify
  })
})

function pathsOf(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [at]
  return [at, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...at, key]))]
}

function replaced(value: unknown, { path, value: next }: { path: readonly string[]; value: unknown }): unknown {
  const [key, ...rest] = path
  if (key === undefined) return next
  const entries = Object.entries(value ?? {}).map(([name, inner]) => [
    name,
    name === key ? replaced(inner, { path: rest, value: next }) : inner,
  ])
  return Object.fromEntries(entries)
}
