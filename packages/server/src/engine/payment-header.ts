import {
  coreErrors,
  headerCodec,
  isX402Error,
  type PaymentPayload,
  paymentPayload,
  paymentRequirements,
  paymentSignatureHeader,
  type X402Error,
} from '@flow402x/core'
import { remembered } from '@flow402x/core/remembered'
import { paymentFromV1, xPaymentHeader } from '@flow402x/core/v1'
import * as z from 'zod/mini'
import type { Dialect } from './answers.ts'
import { plainOffer, type Quote } from './offers.ts'
import type { IncomingRequest } from './request.ts'

/** What a request brings: no payment, one payment, one that pays none of the offers, or something unreadable. */
export type Incoming =
  | { readonly kind: 'none' }
  | { readonly kind: 'payment'; readonly payment: PaymentPayload; readonly dialect: Dialect }
  | { readonly kind: 'unmatched' }
  | { readonly kind: 'malformed'; readonly error: X402Error }

// What buyers accept is one of few offers, whole in each of their payments.
const accepted = remembered(paymentRequirements, { members: ['network', 'amount', 'asset', 'payTo'], most: 256 })
const { name, limit } = paymentSignatureHeader
const signatureHeader = headerCodec(name, { schema: z.extend(paymentPayload, { accepted }), limit })

/** Reads the one payment header of a request; v1 payments become v2 values here (A13: exactly one header, one value). */
export function readPayment(request: IncomingRequest, quote: Quote): Incoming {
  const signature = request.header('payment-signature')
  const legacy = request.header('x-payment')
  if (signature === undefined && legacy === undefined) return readPlain(request, quote)
  try {
    if (signature !== undefined && legacy !== undefined)
      throw coreErrors('headers/duplicate', { header: 'PAYMENT-SIGNATURE and X-PAYMENT' })
    if ((signature ?? legacy ?? '').includes(','))
      throw coreErrors('headers/duplicate', { header: signature === undefined ? 'X-PAYMENT' : 'PAYMENT-SIGNATURE' })
    if (signature !== undefined) return { kind: 'payment', payment: signatureHeader.decode(signature), dialect: 'v2' }
    const payment = xPaymentHeader.decode(legacy ?? '')
    if (payment.x402Version === 2) return { kind: 'payment', payment, dialect: 'v2' }
    const complete = paymentFromV1(
      payment,
      quote.offers.map(({ requirements }) => requirements),
    )
    return complete === undefined ? { kind: 'unmatched' } : { kind: 'payment', payment: complete, dialect: 'v1' }
  } catch (error) {
    if (isX402Error(error)) return { kind: 'malformed', error }
    throw error
  }
}

/** The plain dialect's payment (DESIGN §8.3): the reference of the challenge, and the transaction unless the server is to find it. */
function readPlain(request: IncomingRequest, quote: Quote): Incoming {
  const [reference, transaction] = [request.header('x-payment-reference'), request.header('x-payment-signature')]
  const offer = plainOffer(quote)
  if (offer === undefined || (reference === undefined && transaction === undefined)) return { kind: 'none' }
  const payload = { reference: reference ?? '', ...(transaction === undefined ? {} : { transaction }) }
  return { kind: 'payment', payment: { x402Version: 2, accepted: offer.requirements, payload }, dialect: 'plain' }
}
