import type { PaidOptions } from '../engine/offers.ts'
import type { PaymentInfo } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { chargeWeb } from '../http/web.ts'

/** A route handler of Next's app router, told who paid beside its own context (`params`). */
export type PaidRouteHandler<Incoming extends Request, Context> = (
  request: Incoming,
  context: Context & { readonly payment: PaymentInfo; readonly signal: AbortSignal },
) => Response | Promise<Response>

/**
 * Charges for a route handler of Next's app router: `export const GET = paid(server, { price: '$0.01' }, handler)`.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid<Incoming extends Request, Context>(
  server: Server,
  options: PaidOptions,
  handler: PaidRouteHandler<Incoming, Context>,
): (request: Incoming, context: Context) => Promise<Response> {
  const charge = chargeWeb(server, options)
  // The handler sees a request of its own kind: the same one, or a copy of that kind whose body can still be read.
  return (request, context) => charge({ request, handle: (forwarded, facts) => handler(forwarded as Incoming, { ...context, ...facts }) })
}
