import { expectTypeOf, test } from 'vitest'
import * as z from 'zod/mini'
import { type PaymentPayloadV1, xPaymentHeader, xPaymentResponseHeader } from '../v1.ts'
import { type HeaderCodec, headerCodec, paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from './headers.ts'
import type { PaymentPayload, PaymentRequired } from './payment.ts'
import type { SettleResponse } from './settlement.ts'

test('a codec reads and writes what its schema says', () => {
  expectTypeOf(headerCodec('X', { schema: z.object({ a: z.string() }), limit: 1 })).toEqualTypeOf<HeaderCodec<{ a: string }>>()
  expectTypeOf(paymentRequiredHeader.decode).returns.toEqualTypeOf<PaymentRequired>()
  expectTypeOf(paymentSignatureHeader.decode).returns.toEqualTypeOf<PaymentPayload>()
  expectTypeOf(paymentResponseHeader.decode).returns.toEqualTypeOf<SettleResponse>()
  expectTypeOf(xPaymentResponseHeader.decode).returns.toEqualTypeOf<SettleResponse>()
  expectTypeOf(paymentSignatureHeader.encode).parameters.toEqualTypeOf<[PaymentPayload]>()
})

test('the version tells what an X-PAYMENT holds', () => {
  const payment = xPaymentHeader.decode('')
  if (payment.x402Version === 2) expectTypeOf(payment).toEqualTypeOf<PaymentPayload>()
  else expectTypeOf(payment).toEqualTypeOf<PaymentPayloadV1>()
})

test('amounts are text, and versions are what they are', () => {
  const accepted = { scheme: 'exact', network: 'eip155:1', amount: '1', asset: '0x', payTo: '0x', maxTimeoutSeconds: 60 }
  paymentSignatureHeader.encode({ x402Version: 2, accepted, payload: {} })
  // @ts-expect-error an amount is never a number
  paymentSignatureHeader.encode({ x402Version: 2, accepted: { ...accepted, amount: 1 }, payload: {} })
  // @ts-expect-error version 1 has no place in this header
  paymentSignatureHeader.encode({ x402Version: 1, accepted, payload: {} })
  // @ts-expect-error a receipt names its transaction, were it empty
  paymentResponseHeader.encode({ success: true, network: 'eip155:1' })
})
