import {
  type ClientScheme,
  echoExtensions,
  type PaymentPayload,
  type PaymentRequired,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
  type SettleResponse,
} from '@flow402x/core'
import { type Answer, type Sending, send } from './wire.ts'

/** A payment for one URL, signed anew; `id` is its payment identifier. Gives the value of `PAYMENT-SIGNATURE`. */
export async function signPayment(
  payer: ClientScheme,
  { url, sending = {}, id }: { readonly url: string; readonly sending?: Sending; readonly id?: string },
): Promise<string> {
  const asked = await send(url, { ...sending, body: [] })
  const required = paymentRequiredHeader.decode(asked.headers['payment-required']?.join() ?? '')
  return paymentSignatureHeader.encode(await preparePayment(payer, { required, id }))
}

/** A payment for the first offer of a 402 that the payer can pay, signed anew. */
export async function preparePayment(
  payer: ClientScheme,
  { required, id }: { readonly required: PaymentRequired; readonly id?: string | undefined },
): Promise<PaymentPayload> {
  const [accepted] = required.accepts.filter((offer) => payer.supports(offer))
  if (accepted === undefined) throw new TypeError('The 402 offers nothing that this payer can pay.')
  const now = Math.floor(Date.now() / 1000)
  const { maxTimeoutSeconds } = accepted
  const prepared = await payer.prepare(accepted, { now, maxTimeoutSeconds, extensions: required.extensions })
  // Who pays by a transfer of his own makes it before he shows it.
  await payer.send?.(prepared, accepted)
  const { payload, extensions: added } = prepared
  const extensions = id === undefined && added === undefined ? undefined : echoExtensions(required, { id, added })
  const echo = extensions === undefined ? {} : { extensions }
  return { x402Version: 2, resource: required.resource, accepted, payload: { ...payload }, ...echo }
}

/** Sends a request with a payment. */
export function sendPaid(url: string, payment: string, sending: Sending = {}): Promise<Answer> {
  return send(url, { ...sending, headers: { ...sending.headers, 'PAYMENT-SIGNATURE': payment } })
}

/** The receipt an answer carries, if it has one. */
export function receiptOf(answer: Pick<Answer, 'headers'>): SettleResponse | undefined {
  const [header] = answer.headers['payment-response'] ?? []
  return header === undefined ? undefined : paymentResponseHeader.decode(header)
}
