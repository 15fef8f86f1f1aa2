import type { ServerResponse } from 'node:http'
import type { MiddlewareHandler } from 'hono'
import type { PaidOptions } from '../engine/offers.ts'
import type { PaymentInfo, Sent } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { watchDeparture } from '../http/node-response.ts'
import { chargeWeb } from '../http/web.ts'

/** What the middleware puts into Hono's context: `c.get('payment')`. */
export type PaidVariables = { readonly payment: PaymentInfo; readonly paymentSignal: AbortSignal }

/**
 * Charges for what follows in Hono: `app.get('/weather', paid(server, { price: '$0.01' }), handler)`.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid(server: Server, options: PaidOptions): MiddlewareHandler<{ Variables: PaidVariables }> {
  const charge = chargeWeb(server, options)
  return async (context, next) => {
    const outer = [...context.res.headers]
    const response = await charge({
      request: context.req.raw,
      keptBody: () => context.req.arrayBuffer(),
      watch: watchOf(context.env),
      async handle(forwarded, { payment, signal }) {
        context.req.raw = forwarded
        context.set('payment', payment)
        context.set('paymentSignal', signal)
        await next()
        return context.res
      },
    })
    for (const [name, value] of outer) keepOuter(response.headers, name, value)
    // Hono merges the headers of an old response into a new one: those of a response that was held back must not leave.
    context.res = undefined
    context.res = response
  }
}

/** On Node the adapter gives Node's own response along, which knows when it has left. */
function watchOf(env: unknown): ((sent: Sent) => void) | undefined {
  const outgoing = typeof env === 'object' && env !== null && 'outgoing' in env ? env.outgoing : undefined
  if (typeof outgoing !== 'object' || outgoing === null || !('once' in outgoing)) return undefined
  // What @hono/node-server gives as `outgoing`.
  return (sent) => watchDeparture(outgoing as ServerResponse, sent)
}

/** Headers that middleware before this one had set stay, also on answers that replace the handler's. */
function keepOuter(headers: Headers, name: string, value: string): void {
  const present = headers.get(name)
  if (present === null || name === 'access-control-allow-origin') headers.set(name, value)
  else if ((name === 'vary' || name === 'access-control-expose-headers') && !present.includes(value)) headers.append(name, value)
}
