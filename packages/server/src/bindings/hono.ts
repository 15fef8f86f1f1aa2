import type { IncomingMessage, ServerResponse } from 'node:http'
import type { MiddlewareHandler } from 'hono'
import type { PaidOptions } from '../engine/offers.ts'
import type { PaidFacts } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { watchDeparture } from '../http/departure.ts'
import { headerOf, runNode } from '../http/node-http.ts'
import { chargeWeb, type WebVisit } from '../http/web.ts'

/** What the middleware puts into Hono's context: `c.get('payment').payer`, `c.get('paid').signal`. */
export type PaidVariables = { readonly payment: PaidFacts['payment']; readonly paid: PaidFacts }

/**
 * Charges for what follows in Hono: `app.get('/weather', paid(server, { price: '$0.01' }), handler)`. On Node middleware before this one
 * sees what the handler made; what is said of its payment is added when that leaves.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid(server: Server, options: PaidOptions): MiddlewareHandler<{ Variables: PaidVariables }> {
  const charge = chargeWeb(server, options)
  return async (context, next) => {
    // Headers that middleware before this one has set stay, also on answers in the handler's place. Asked for in this way Hono makes no
    // response of them that every later one is merged with.
    const outer = [...context.newResponse(null).headers]
    const keep = (answer: Response) => {
      for (const [name, value] of outer) keepOuter(answer.headers, name, value)
    }
    let isHeld = false
    const onNode = nodeVisit(context.env, keep)
    const response = await charge({
      request: context.req.raw,
      keptBody: () => context.req.arrayBuffer(),
      async handle(forwarded, paid) {
        isHeld = onNode.hold !== undefined
        context.req.raw = forwarded
        context.set('payment', paid.payment)
        context.set('paid', paid)
        await next()
        return context.res
      },
      ...onNode,
    })
    if (isHeld) return
    keep(response)
    // Hono merges the headers of an old response into a new one: those of a response that was held back must not leave.
    context.res = undefined
    context.res = response
  }
}

/** What @hono/node-server gives along. */
type NodeEnv = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse }

/** On Node the adapter gives Node's own request and response along: what is written there is held back as bytes, and known to have left. */
function nodeVisit(env: unknown, keep: (answer: Response) => void): Pick<WebVisit, 'watch' | 'hold' | 'header'> {
  const { outgoing, incoming }: Partial<NodeEnv> = typeof env === 'object' && env !== null ? env : {}
  if (outgoing === undefined || incoming === undefined || !('once' in outgoing)) return {}
  const watch: WebVisit['watch'] = (sent) => watchDeparture(outgoing, sent)
  // Those of HTTP/2 write their head in a way of their own.
  if (!('assignSocket' in outgoing)) return { watch }
  const hold: WebVisit['hold'] = (run, work) =>
    new Promise((resolve) => {
      const handle = () => {
        const made = work()
        resolve(made)
        return made
      }
      // Hono writes the response when this is over, so that nobody waits here for what becomes of it.
      runNode(run, outgoing, { handle, outer: keep }).catch(() => outgoing.destroy())
    })
  return { watch, hold, header: headerOf(incoming) }
}

/** Headers that middleware before this one had set stay, also on answers that replace the handler's. */
function keepOuter(headers: Headers, name: string, value: string): void {
  const present = headers.get(name)
  if (present === null || name === 'access-control-allow-origin') headers.set(name, value)
  else if ((name === 'vary' || name === 'access-control-expose-headers') && !present.includes(value)) headers.append(name, value)
}
