import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PaidOptions } from '../engine/offers.ts'
import type { PaidFacts } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { chargeNode } from '../http/node-http.ts'

/** A listener of `node:http` that is told who paid. */
export type PaidNodeHandler = (request: IncomingMessage, response: ServerResponse, paid: PaidFacts) => unknown

/**
 * Charges for a listener of `node:http`: `createServer(paid(server, { price: '$0.01' }, listener))`.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid(
  server: Server,
  options: PaidOptions,
  handler: PaidNodeHandler,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const charge = chargeNode(server, options)
  return (request, response) => charge({ request, response, handle: (facts) => handler(request, response, facts) })
}
