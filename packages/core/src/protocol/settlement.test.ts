import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Outcome,
  outcomeFromWire,
  outcomeToWire,
  type SettleResponse,
  settleResponse,
  supportedResponse,
  type Verdict,
  verdictFromWire,
  verdictToWire,
  verifyResponse,
} from './settlement.ts'

const network = 'eip155:84532'
const transaction = `0x${'ab'.repeat(32)}`
const payer = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'

describe('outcomes', () => {
  const settled: Outcome = { status: 'settled', transaction, network, payer, amount: '10000', extra: { a: 1 }, extensions: { b: {} } }
  const pending: Outcome = { status: 'pending', network, transaction, payer }
  const dead: Outcome = {
    status: 'notSettled',
    network,
    reason: 'invalid_exact_evm_nonce_already_used',
    message: 'spent',
    payer,
    transaction,
    retry: 'resign',
    deadAfter: 1_900_000_000,
  }

  test.each([
    [settled, { success: true, transaction, network, payer, amount: '10000', extra: { a: 1 }, extensions: { b: {} } }],
    [
      { status: 'settled', transaction, network },
      { success: true, transaction, network },
    ],
    [pending, { success: false, errorReason: 'settlement_pending', transaction, network, payer, retry: 'same' }],
    [
      { status: 'pending', network },
      { success: false, errorReason: 'settlement_pending', transaction: '', network, retry: 'same' },
    ],
    [
      dead,
      {
        success: false,
        errorReason: 'invalid_exact_evm_nonce_already_used',
        errorMessage: 'spent',
        transaction,
        network,
        payer,
        retry: 'resign',
        deadAfter: 1_900_000_000,
      },
    ],
    [
      { status: 'notSettled', network, reason: 'handler_failed', retry: 'same' },
      { success: false, errorReason: 'handler_failed', transaction: '', network, retry: 'same' },
    ],
  ] satisfies [Outcome, SettleResponse][])('%o is written and read back', (outcome, wire) => {
    verifies('SETTLE-JSON')
    expect(outcomeToWire(outcome)).toEqual(wire)
    expect(settleResponse.parse(wire)).toEqual(wire)
    expect(outcomeFromWire(wire)).toEqual(outcome)
  })

  test('any outcome survives the wire', () => {
    const text = fc.string({ minLength: 1 })
    const code = fc.stringMatching(/^[a-z_]{1,60}$/).filter((one) => one !== 'settlement_pending' && one !== 'unexpected_settle_error')
    const facts = fc.dictionary(text, text)
    const some = { network: text, payer: text, transaction: text }
    const settledOnes = fc.record(
      { status: fc.constantFrom('settled' as const), ...some, amount: text, extra: facts, extensions: facts },
      { requiredKeys: ['status', 'network', 'transaction'] },
    )
    const pendingOnes = fc.record({ status: fc.constantFrom('pending' as const), ...some }, { requiredKeys: ['status', 'network'] })
    const deadOnes = fc.record(
      {
        status: fc.constantFrom('notSettled' as const),
        ...some,
        reason: code,
        message: text,
        retry: fc.constantFrom('same' as const, 'resign' as const, 'never' as const),
        deadAfter: fc.integer({ min: 0 }),
      },
      { requiredKeys: ['status', 'network', 'reason', 'retry'] },
    )
    for (const outcomes of [settledOnes, pendingOnes, deadOnes]) {
      fc.assert(
        fc.property(outcomes, (outcome) => {
          expect(outcomeFromWire(overTheWire(outcomeToWire(outcome)))).toEqual(outcome)
        }),
      )
    }
  })

  test.each([
    ['settlement_pending', 'settlement_pending'],
    ['settlement_pending with a detail', 'settlement_pending: not mined after 30 s'],
    ['unexpected_settle_error', 'unexpected_settle_error'],
    ['unexpected_settle_error with a detail', 'unexpected_settle_error: ECONNRESET'],
    ['no reason at all', undefined],
    ['a reason of null', null],
  ])('%s is "I do not know": pending', (_, errorReason) => {
    verifies('FAC-PENDING')
    const answer = { success: false, transaction: '', network, ...(errorReason === undefined ? {} : { errorReason }) }
    expect(outcomeFromWire(answer)).toEqual({ status: 'pending', network })
    expect(outcomeFromWire({ ...answer, transaction })).toEqual({ status: 'pending', network, transaction })
  })

  test('a failure says never unless the answer proves more', () => {
    verifies('M3')
    const answer = { success: false, errorReason: 'insufficient_funds', transaction: '', network }
    expect(outcomeFromWire(answer)).toEqual({ status: 'notSettled', network, reason: 'insufficient_funds', retry: 'never' })
    expect(outcomeFromWire({ ...answer, retry: null, deadAfter: null, payer: null, errorMessage: null })).toEqual(outcomeFromWire(answer))
  })

  test('a reason nobody knows passes through, and a detail after it becomes its message', () => {
    verifies('ERROR-CODES')
    const answer = { success: false, errorReason: 'smart_wallet_deployment_failed: out of gas: 0x', transaction: '', network }
    expect(outcomeFromWire(answer)).toMatchObject({ reason: 'smart_wallet_deployment_failed', message: 'out of gas: 0x' })
    expect(outcomeFromWire({ ...answer, errorMessage: 'no gas' })).toMatchObject({
      reason: 'smart_wallet_deployment_failed',
      message: 'no gas',
    })
    expect(outcomeFromWire({ ...answer, errorReason: 'x_new_reason' })).toEqual({
      status: 'notSettled',
      network,
      reason: 'x_new_reason',
      retry: 'never',
    })
  })
})

describe('verdicts', () => {
  test.each([
    [
      { valid: true, payer },
      { isValid: true, payer },
    ],
    [
      { valid: true, payer, extra: { a: 1 } },
      { isValid: true, payer, extra: { a: 1 } },
    ],
    [
      { valid: true, payer, funds: 10n ** 77n },
      { isValid: true, payer, funds: `1${'0'.repeat(77)}` },
    ],
    [
      { valid: false, reason: 'insufficient_funds' },
      { isValid: false, invalidReason: 'insufficient_funds' },
    ],
    [
      { valid: false, reason: 'invalid_payload', message: 'no nonce', payer, extra: { a: 1 } },
      { isValid: false, invalidReason: 'invalid_payload', invalidMessage: 'no nonce', payer, extra: { a: 1 } },
    ],
  ] satisfies [Verdict, object][])('%o is written and read back', (verdict, wire) => {
    verifies('VERIFY-JSON')
    expect(verdictToWire(verdict)).toEqual(wire)
    expect(verdictFromWire(verifyResponse.parse(wire))).toEqual(verdict)
  })

  test('nulls are absent, and an unexplained refusal has a reason all the same', () => {
    verifies('JSON-NULL')
    const silent = { isValid: false, invalidReason: null, invalidMessage: null, payer: null, extra: null, extensions: null }
    expect(verdictFromWire(verifyResponse.parse(silent))).toEqual({ valid: false, reason: 'unexpected_verify_error' })
  })

  test('a detail after the code is its message', () => {
    expect(verdictFromWire({ isValid: false, invalidReason: 'invalid_payload: no nonce' })).toEqual({
      valid: false,
      reason: 'invalid_payload',
      message: 'no nonce',
    })
  })
})

test.each([
  ['without success', settleResponse, { transaction, network }],
  ['without a transaction', settleResponse, { success: true, network }],
  ['with a null transaction', settleResponse, { success: true, transaction: null, network }],
  ['without a network', settleResponse, { success: true, transaction }],
  ['with success in words', settleResponse, { success: 'true', transaction, network }],
  ['with an unknown retry', settleResponse, { success: false, transaction, network, retry: 'again' }],
  ['without a verdict', verifyResponse, { payer }],
  ['with a verdict in words', verifyResponse, { isValid: 'yes' }],
  ['without kinds', supportedResponse, { signers: {} }],
  ['with a kind that names no scheme', supportedResponse, { kinds: [{ x402Version: 2, network }] }],
])('an answer %s is refused', (_, schema, value) => {
  expect(schema.safeParse(value).success).toBe(false)
})

test('what /supported says survives, with what it need not say', () => {
  const kinds = [{ x402Version: 2, scheme: 'exact', network, extra: null, later: 1 }]
  fc.assert(
    fc.property(fc.option(fc.constantFrom(['bazaar'])), fc.option(fc.constantFrom({ 'eip155:*': [payer] })), (extensions, signers) => {
      const answer = { kinds, extensions, signers }
      expect(supportedResponse.parse(answer)).toEqual(answer)
    }),
  )
  expect(supportedResponse.parse({ kinds: [] })).toEqual({ kinds: [] })
})

function overTheWire<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}
