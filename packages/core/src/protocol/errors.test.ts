import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, test } from 'vitest'
import { coreErrors, defineErrors, isX402Error, toProblem, X402Error } from './errors.ts'

const secret = new TypeError('0xsecret')

const all = [
  coreErrors('config/unknown-network', { network: 'bass', names: ['base', 'polygon'], cause: secret }),
  coreErrors('config/unknown-asset', { network: 'eip155:8453', asset: 'EURC', cause: secret }),
  coreErrors('config/bad-price', { price: 'free', why: 'it is no number', cause: secret }),
  coreErrors('config/bad-rate', { rate: '1 USD', why: 'it needs a unit after a slash', cause: secret }),
  coreErrors('config/sub-atomic', { amount: '0.0000001', decimals: 6, cause: secret }),
  coreErrors('config/no-rate', { asset: 'USDC', symbol: 'ETH', cause: secret }),
  coreErrors('headers/too-large', { header: 'PAYMENT-SIGNATURE', length: 9000, limit: 8192, cause: secret }),
  coreErrors('headers/malformed', { header: 'PAYMENT-SIGNATURE', why: 'it does not hold UTF-8 JSON', cause: secret }),
  coreErrors('headers/bad-receipt', { header: 'PAYMENT-RESPONSE', why: 'it does not hold UTF-8 JSON', cause: secret }),
  coreErrors('headers/duplicate', { header: 'X-PAYMENT', cause: secret }),
  coreErrors('message/invalid', { message: 'PaymentRequired', why: 'accepts: Invalid input', cause: secret }),
]

test('the words of every code', () => {
  expect(
    all.map(({ code, status, phase, moneyMoved, retry, message }) => `${code} ${status} ${phase} ${moneyMoved} ${retry}: ${message}`),
  ).toMatchInlineSnapshot(`
    [
      "config/unknown-network 500 quote no never: "bass" is no network: give a CAIP-2 id such as "eip155:8453" or one of the names base, polygon.",
      "config/unknown-asset 500 quote no never: No asset "EURC" is known on eip155:8453: name one of the table or give { address, decimals, … } yourself.",
      "config/bad-price 500 quote no never: "free" is no price: it is no number. Write "$0.01" or "0.01 USDC".",
      "config/bad-rate 500 quote no never: "1 USD" is no rate: it needs a unit after a slash. Write "0.01 USD/second".",
      "config/sub-atomic 500 quote no never: 0.0000001 cannot be expressed in a token with 6 decimals: the smallest step is one atomic unit, and no part of it may be dropped.",
      "config/no-rate 500 quote no never: A price in ETH cannot be asked in USDC: give the price in that asset itself, or a rate for it.",
      "headers/too-large 400 submit no never: PAYMENT-SIGNATURE has 9000 characters; at most 8192 are read. Nothing was charged.",
      "headers/malformed 400 submit no never: PAYMENT-SIGNATURE could not be read: it does not hold UTF-8 JSON. Nothing was charged; send one value of base64 over UTF-8 JSON.",
      "headers/bad-receipt 502 settle unknown same: PAYMENT-RESPONSE could not be read: it does not hold UTF-8 JSON. The payment may have been charged; only the same payment is safe to send again.",
      "headers/duplicate 400 submit no never: More than one payment was sent (X-PAYMENT): exactly one payment header with one value is accepted. Nothing was charged.",
      "message/invalid 400 submit no never: This PaymentRequired does not follow x402: accepts: Invalid input.",
    ]
  `)
})

describe.each(all.map((error) => [error.code, error] as const))('%s', (code, error) => {
  test('says what happened in sentences, with the values', () => {
    verifies('H17')
    expect(error.message).toMatch(/^["\w].*[^.]\.$/)
    expect(error.message).not.toContain('undefined')
    for (const value of Object.values(error.context).flat()) expect(error.message).toContain(String(value))
  })

  test('is an error of its code and of no other', () => {
    expect(error).toBeInstanceOf(Error)
    expect([error.name, isX402Error(error), isX402Error(error, code), isX402Error(error, 'other/code')]).toEqual([
      'X402Error',
      true,
      true,
      false,
    ])
  })

  test('keeps its cause in the process', () => {
    verifies('H17')
    expect(error.cause).toBe(secret)
    expect(error.context).not.toHaveProperty('cause')
    const problem = toProblem(error)
    expect(problem).toEqual({
      type: `urn:flow402x:error:${code}`,
      title: code,
      status: error.status,
      detail: error.message,
      code,
      phase: error.phase,
      moneyMoved: error.moneyMoved,
      retry: error.retry,
    })
    expect(JSON.stringify(problem)).not.toContain('secret')
  })
})

test('a mistake of a payer is 400, one of the developer 500, and no money moved in either; a receipt that is none proves nothing', () => {
  verifies('H17')
  const facts = all.map(({ code, status, moneyMoved, retry }) => [code, status, moneyMoved, retry])
  expect(facts).toEqual(
    all.map(({ code }) =>
      code === 'headers/bad-receipt' ? [code, 502, 'unknown', 'same'] : [code, code.startsWith('config/') ? 500 : 400, 'no', 'never'],
    ),
  )
})

test('an error without a cause has none', () => {
  expect('cause' in coreErrors('headers/duplicate', { header: 'X-PAYMENT' })).toBe(false)
})

test.each([undefined, null, 'headers/duplicate', new Error('headers/duplicate'), { code: 'headers/duplicate' }])(
  '%o is none of ours',
  (value) => {
    expect(isX402Error(value)).toBe(false)
  },
)

test('a table of one’s own makes errors of the same class', () => {
  const errors = defineErrors({
    'tea/cold': {
      status: 418,
      phase: 'deliver',
      moneyMoved: 'yes',
      retry: 'same',
      message: ({ degrees }: { degrees: number }) => `It has ${degrees} degrees.`,
    },
  })
  const error = errors('tea/cold', { degrees: 4 })
  expect(error).toBeInstanceOf(X402Error)
  expect({ ...error }).toEqual({
    name: 'X402Error',
    code: 'tea/cold',
    status: 418,
    phase: 'deliver',
    moneyMoved: 'yes',
    retry: 'same',
    context: { degrees: 4 },
  })
})
