import { type PaymentPayload, type PaymentRequirements, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { type PaymentPayloadV1, type PaymentRequirementsV1, paymentRequiredV1, xPaymentHeader } from '@flow402x/core/v1'

/** What somebody between client and server would change, in whichever version goes by. */
export type Changes = {
  readonly offer?: (offer: PaymentRequirements) => PaymentRequirements
  readonly offerV1?: (offer: PaymentRequirementsV1) => PaymentRequirementsV1
  readonly payment?: (payment: PaymentPayload) => PaymentPayload
  readonly paymentV1?: (payment: PaymentPayloadV1) => PaymentPayloadV1
  /** What happens before a payment goes on its way. */
  readonly delay?: () => Promise<unknown>
}

/** A payment header as it went over the wire. */
export type SentPayment = { readonly name: string; readonly value: string }

/** A `fetch` that reads and changes what passes, and remembers the payments. */
export function middleman(changes: Changes = {}): { readonly fetch: typeof fetch; readonly sent: readonly SentPayment[] } {
  const sent: SentPayment[] = []
  return {
    sent,
    async fetch(input, init) {
      const request = new Request(input, init)
      for (const name of [paymentSignatureHeader.name, xPaymentHeader.name]) {
        const value = request.headers.get(name)
        if (value === null) continue
        await changes.delay?.()
        const changed = changePayment({ name, value }, changes)
        request.headers.set(name, changed.value)
        sent.push(changed)
      }
      return changeOffer(await fetch(request), changes)
    },
  }
}

function changePayment({ name, value }: SentPayment, { payment = same, paymentV1 = same }: Changes): SentPayment {
  if (name === paymentSignatureHeader.name)
    return { name, value: paymentSignatureHeader.encode(payment(paymentSignatureHeader.decode(value))) }
  const decoded = xPaymentHeader.decode(value)
  return { name, value: xPaymentHeader.encode(decoded.x402Version === 1 ? paymentV1(decoded) : payment(decoded)) }
}

async function changeOffer(response: Response, { offer = same, offerV1 = same }: Changes): Promise<Response> {
  if (response.status !== 402) return response
  const headers = new Headers(response.headers)
  headers.delete('content-length')
  const header = headers.get(paymentRequiredHeader.name)
  if (header !== null) {
    const required = paymentRequiredHeader.decode(header)
    headers.set(paymentRequiredHeader.name, paymentRequiredHeader.encode({ ...required, accepts: required.accepts.map(offer) }))
  }
  const text = await response.text()
  const body = paymentRequiredV1.safeParse(text === '' ? undefined : JSON.parse(text))
  const changed = body.success ? JSON.stringify({ ...body.data, accepts: body.data.accepts.map(offerV1) }) : text
  return new Response(changed, { status: response.status, headers })
}

function same<Value>(value: Value): Value {
  return value
}
