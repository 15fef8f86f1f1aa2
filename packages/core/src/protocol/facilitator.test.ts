import { verifies } from '@flow402x/testing/requirements'
import { expect, test } from 'vitest'
import { facilitatorRequest, facilitatorRoutes } from './facilitator.ts'

const accepted = { scheme: 'exact', network: 'eip155:84532', amount: '1', asset: '0xa', payTo: '0xb', maxTimeoutSeconds: 60 }
const body = { x402Version: 2, paymentPayload: { x402Version: 2, accepted, payload: {} }, paymentRequirements: accepted }

test('a request carries one version, the payment and what was asked', () => {
  verifies('FAC-REQUEST')
  expect(facilitatorRequest.parse({ ...body, later: 1 })).toEqual({ ...body, later: 1 })
})

test.each([
  ['another version', { ...body, x402Version: 1 }],
  ['no version', { ...body, x402Version: undefined }],
  ['a payment of another version', { ...body, paymentPayload: { ...body.paymentPayload, x402Version: 1 } }],
  ['no payment', { ...body, paymentPayload: undefined }],
  ['no requirements', { ...body, paymentRequirements: undefined }],
  ['an amount that is a number', { ...body, paymentRequirements: { ...accepted, amount: 1 } }],
])('%s is refused', (_, value) => {
  verifies('FAC-REQUEST')
  expect(facilitatorRequest.safeParse(value).success).toBe(false)
})

test('the routes are those of the specification, and one that tells what became of a claim', () => {
  verifies('FAC-REQUEST')
  expect(Object.values(facilitatorRoutes).map(({ method, path }) => `${method} ${path}`)).toEqual([
    'GET /supported',
    'POST /verify',
    'POST /settle',
    'POST /status',
  ])
})
