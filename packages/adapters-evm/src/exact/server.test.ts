import { type Asset, isX402Error, type PaymentRequirements, parsePrice, type RequirementsInput, type Submission } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { exactEvmServer } from '../server.ts'
import { exactReasons, readPayload } from './wire.ts'

const payTo = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const kind = { x402Version: 2, scheme: 'exact', network: 'eip155:84532' }
const input: RequirementsInput = { price: parsePrice('$0.01'), kind, maxTimeoutSeconds: 300, flow: 'authorization' }
const server = exactEvmServer({ network: 'base-sepolia', payTo })
const token: Asset = {
  network: 'eip155:84532',
  address: `0x${'ab'.repeat(20)}`,
  symbol: 'TOK',
  decimals: 18,
  transfer: 'eip3009',
  eip712: { name: 'Token', version: '3' },
}

describe('requirements', () => {
  test('of a dollar price are in the network’s stablecoin', () => {
    expect(server.requirements(input)).toEqual({
      scheme: 'exact',
      network: 'eip155:84532',
      amount: '10000',
      asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
      payTo,
      maxTimeoutSeconds: 300,
      extra: { name: 'USDC', version: '2' },
    })
  })

  test('name the flow only where it is upfront, and the payee of the route', () => {
    const other = `0x${'44'.repeat(20)}`
    const requirements = server.requirements({ ...input, flow: 'upfront', payTo: other })
    expect(requirements.extra).toEqual({ name: 'USDC', version: '2', paymentFlow: 'upfront' })
    expect(requirements.payTo).toBe(other)
  })

  test('of an unlisted token come from its facts', () => {
    const requirements = exactEvmServer({ network: 'eip155:84532', payTo, asset: token }).requirements({
      ...input,
      price: parsePrice('0.5 TOK'),
    })
    expect(requirements).toMatchObject({ amount: '500000000000000000', asset: token.address, extra: { name: 'Token', version: '3' } })
  })

  test('are described as people read them', () => {
    expect(server.describe(server.requirements(input))).toBe('$0.01')
    const unlisted = exactEvmServer({ network: 'eip155:84532', payTo, asset: token })
    expect(unlisted.describe(unlisted.requirements({ ...input, price: parsePrice('1.5 TOK') }))).toBe('1.5 TOK')
  })
})

test.each([
  ['config/unknown-network', { network: 'nowhere', payTo }],
  ['config/not-evm', { network: 'solana', payTo }],
  ['config/unknown-asset', { network: 'eip155:31337', payTo }],
  ['config/unknown-asset', { network: 'base', payTo, asset: 'EURC' }],
  ['config/no-authorizations', { network: 'ethereum', payTo, asset: 'DAI', transfer: 'eip3009' }],
  ['config/foreign-asset', { network: 'base', payTo, asset: token }],
  ['config/bad-address', { network: 'base', payTo: 'me.eth' }],
  ['config/bad-address', { network: 'base', payTo: `0x${'0'.repeat(40)}` }],
  ['config/bad-address', { network: 'base-sepolia', payTo, asset: { ...token, address: 'here' } }],
] as const)('%s at creation', (code, options) => {
  expect(codeOf(() => exactEvmServer(options))).toBe(code)
})

test('a payee of a route that cannot be paid is an error', () => {
  expect(codeOf(() => server.requirements({ ...input, payTo: '0x12' }))).toBe('config/bad-address')
})

const now = 1_800_000_000
const requirements = server.requirements(input)
const authorization = {
  from: `0x${'aB'.repeat(20)}`,
  to: payTo.toLowerCase(),
  value: '10000',
  validAfter: '0',
  validBefore: `${now + 300}`,
  nonce: `0x${'cD'.repeat(32)}`,
}
type Change = {
  readonly signed?: Partial<typeof authorization>
  readonly asked?: Partial<PaymentRequirements>
  readonly accepted?: Partial<PaymentRequirements>
}

function submission({ signed, asked, accepted }: Change = {}): Submission {
  const payload = { signature: `0x${'11'.repeat(65)}`, authorization: { ...authorization, ...signed } }
  return {
    payment: { x402Version: 2, accepted: { ...requirements, ...asked, ...accepted }, payload },
    requirements: { ...requirements, ...asked },
  }
}

describe('check', () => {
  test('takes what was asked for', () => {
    expect(server.check(submission(), { now })).toEqual({ valid: true, payer: authorization.from })
  })

  test('takes the windows of v1 clients and of clocks that differ by less than a minute', () => {
    verifies('M12')
    expect(server.check(submission({ signed: { validAfter: `${now - 600}` } }), { now }).valid).toBe(true)
    expect(server.check(submission({ signed: { validBefore: `${now + 360}` } }), { now }).valid).toBe(true)
    expect(server.check(submission({ signed: { validBefore: `${now + 6}` } }), { now }).valid).toBe(true)
  })

  test.each<[string, Change]>([
    ['invalid_exact_evm_scheme', { asked: { scheme: 'upto' } }],
    ['invalid_exact_evm_scheme', { accepted: { scheme: 'upto' } }],
    ['unsupported_payload_type', { asked: { extra: { assetTransferMethod: 'permit2' } } }],
    ['invalid_exact_evm_missing_eip712_domain', { asked: { extra: {} } }],
    ['invalid_exact_evm_network_mismatch', { asked: { network: 'eip155:8453' } }],
    ['invalid_exact_evm_network_mismatch', { accepted: { network: 'eip155:8453' } }],
    ['invalid_payment_requirements', { accepted: { asset: `0x${'12'.repeat(20)}` } }],
    ['invalid_payload', { signed: { nonce: '0x12' } }],
    ['invalid_exact_evm_recipient_mismatch', { signed: { to: `0x${'12'.repeat(20)}`, validBefore: '0' } }],
    ['invalid_exact_evm_payload_authorization_valid_before', { signed: { validBefore: `${now + 5}`, validAfter: `${now + 1}` } }],
    ['invalid_exact_evm_payload_authorization_valid_before', { signed: { validBefore: `${now + 361}` } }],
    ['invalid_exact_evm_payload_authorization_valid_before', { signed: { validBefore: `${2n ** 256n - 1n}` } }],
    ['invalid_exact_evm_payload_authorization_valid_after', { signed: { validAfter: `${now + 1}`, value: '1' } }],
    ['invalid_exact_evm_payload_authorization_value_mismatch', { signed: { value: '9999' } }],
    ['invalid_exact_evm_payload_authorization_value_mismatch', { signed: { value: '10001' } }],
  ])('refuses with %s: %o', (reason, change) => {
    verifies(['EXACT-EVM', 'A26', 'M12'])
    expect(server.check(submission(change), { now })).toMatchObject({ valid: false, reason })
  })
})

describe('the key', () => {
  const key = server.key(submission().payment)

  test('is network, asset, payer and nonce in one spelling', () => {
    expect(key).toEqual({
      id: `eip155:84532/${requirements.asset.toLowerCase()}/0x${'ab'.repeat(20)}/0x${'cd'.repeat(32)}`,
      payer: `0x${'ab'.repeat(20)}`,
      deadAfter: now + 300,
    })
  })

  test('is the same whatever the case of hex, the signature, the order of JSON and leading zeros (A4)', () => {
    verifies(['A4', 'M11'])
    const anyCase = (text: string) =>
      fc
        .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
        .map((up) =>
          [...text].map((letter, index) => (index > 1 && up[index] === true ? letter.toUpperCase() : letter.toLowerCase())).join(''),
        )
    const spelling = fc.record({
      from: anyCase(authorization.from),
      nonce: anyCase(authorization.nonce),
      asset: anyCase(requirements.asset),
      signature: fc.uint8Array({ minLength: 1, maxLength: 100 }).map((bytes) => `0x${Buffer.from(bytes).toString('hex')}`),
      zeros: fc.nat(20),
      order: fc.shuffledSubarray(Object.keys(authorization), { minLength: 6 }),
    })
    fc.assert(
      fc.property(spelling, ({ from, nonce, asset, signature, zeros, order }) => {
        const values: Record<string, string> = { ...authorization, from, nonce, validBefore: `${'0'.repeat(zeros)}${now + 300}` }
        const shuffled = Object.fromEntries(order.map((name) => [name, values[name]]))
        const payment = { x402Version: 2 as const, accepted: { ...requirements, asset }, payload: { authorization: shuffled, signature } }
        expect(server.key(payment)).toEqual(key)
      }),
    )
  })

  test('is none for another network, scheme or payload', () => {
    expect(server.key(submission({ accepted: { network: 'eip155:8453' } }).payment)).toBeUndefined()
    expect(server.key(submission({ accepted: { scheme: 'upto' } }).payment)).toBeUndefined()
    expect(server.key({ ...submission().payment, payload: { transaction: 'AQ==' } })).toBeUndefined()
  })

  test('of a signature without end is dead at the last exact second', () => {
    const endless = submission({ signed: { validBefore: `${2n ** 256n - 1n}` } })
    expect(server.key(endless.payment)?.deadAfter).toBe(Number.MAX_SAFE_INTEGER)
  })
})

test('no payload makes the decoder, the key or the check throw', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom('0x', '-1', '1e3', ' 1', '0x10', `${2n ** 256n}`, '9'.repeat(78), '9'.repeat(79)),
    fc.jsonValue(),
  )
  const field = (good: string) => fc.oneof({ weight: 3, arbitrary: fc.constant(good) }, piece)
  const fields = fc.record(Object.fromEntries(Object.entries(authorization).map(([name, good]) => [name, field(good)])), {
    requiredKeys: [],
  })
  const payload = fc.record(
    { signature: field(`0x${'11'.repeat(65)}`), authorization: fc.oneof({ weight: 4, arbitrary: fields }, piece) },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(payload, (anything) => {
      const payment = { ...submission().payment, payload: anything }
      const verdict = server.check({ payment, requirements }, { now })
      if (verdict.valid) expect(readPayload(payment)).toBeDefined()
      else expect(exactReasons).toContain(verdict.reason)
      const key = server.key(payment)
      if (key !== undefined) expect(key.id).toMatch(/^eip155:84532\/0x[0-9a-f]{40}\/0x[0-9a-f]{40}\/0x[0-9a-f]{64}$/)
    }),
    { numRuns: 2000 },
  )
})

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return isX402Error(error) ? error.code : String(error)
  }
}
