import { paymentSignatureHeader } from '@flow402x/core'
import { isSliding, paymentRemainingHeader } from '@flow402x/core/stream'
import type { Admission } from '../engine/entry.ts'
import type { StreamAnswer, StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'

// As bindings ask for it.
const payment = paymentSignatureHeader.name.toLowerCase()

/** What comes of a request to content that is taken in parts. `keeps`: its payer goes on with the lane after this answer. */
export type Entered =
  | { readonly kind: 'answer'; readonly answer: StreamAnswer }
  | (Admission & { readonly kind: 'lane'; readonly keeps: boolean })

/**
 * Lets a request in: by the lane that it names in `Flow402x-Lane`, with a payment for that lane where it brings one, else as `admit` does.
 * Who pays each part by itself (any x402 client) opens a lane each time, which ends with its answer.
 */
export async function enter(route: StreamRoute, request: StreamRequest): Promise<Entered> {
  const sid = await route.bearer(request)
  const brought = request.header(payment)
  if (sid === undefined) return entered(await route.admit(request), brought)
  const paid = brought === undefined ? undefined : await route.tick(request)
  if (paid !== undefined && paid.status >= 300) return { kind: 'answer', answer: paid }
  const lane = await route.attach(sid)
  if (lane === undefined) return entered(await route.admit(without(request, payment)), undefined)
  return { kind: 'lane', lane, headers: { ...route.headers, ...paid?.headers }, keeps: true }
}

/** The offer once more, for a lane whose credit does not reach: what is left of it, and what to pay. */
export async function unpaid(route: StreamRoute, request: StreamRequest): Promise<StreamAnswer> {
  const asked = await route.admit(without(request, payment, 'payment-resume'))
  if (asked.kind === 'lane') {
    // Nothing admits without a payment.
    asked.lane.release()
    return { status: 402, headers: route.headers }
  }
  return { ...asked.answer, headers: { ...asked.answer.headers, [paymentRemainingHeader.name]: '0' } }
}

function entered(admission: Admission, brought: string | undefined): Entered {
  if (admission.kind === 'answer') return admission
  return { ...admission, keeps: brought === undefined || isSliding(paymentSignatureHeader.decode(brought)) }
}

function without(request: StreamRequest, ...names: readonly string[]): StreamRequest {
  return { ...request, header: (name) => (names.includes(name) ? undefined : request.header(name)) }
}
