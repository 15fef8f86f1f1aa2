import { isX402Error, paymentResponseHeader, type SettleResponse } from '@flow402x/core'
import { receiptFromV1, xPaymentResponseHeader } from '@flow402x/core/v1'

/** A `Response`, or the response of another library whose headers have `get`, such as axios. */
export type WithHeaders = { readonly headers: object }

const earlier = new WeakMap<object, SettleResponse>()

/**
 * The receipt of a paid response: what the server says the payment came to, from `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`
 * (x402 v2 §5.3), with a CAIP-2 network. Nothing where there is none or where it is malformed. It is the server's word, no proof.
 */
export function receiptOf(response: WithHeaders): SettleResponse | undefined {
  const header = read(response, paymentResponseHeader.name)
  if (header !== undefined) return decoded(() => paymentResponseHeader.decode(header))
  const old = read(response, xPaymentResponseHeader.name)
  if (old !== undefined) return decoded(() => receiptFromV1(xPaymentResponseHeader.decode(old)))
  return earlier.get(response)
}

/** Remembers the receipt that came with a redirect for the response it led to. */
export function keepReceipt(response: Response, receipt: SettleResponse): void {
  earlier.set(response, receipt)
}

function read({ headers }: WithHeaders, name: string): string | undefined {
  const value: unknown = 'get' in headers && typeof headers.get === 'function' ? headers.get(name) : undefined
  return typeof value === 'string' ? value : undefined
}

function decoded(decode: () => SettleResponse): SettleResponse | undefined {
  try {
    return decode()
  } catch (error) {
    if (isX402Error(error)) return undefined
    throw error
  }
}
