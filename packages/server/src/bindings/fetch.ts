import type { PaidOptions } from '../engine/offers.ts'
import type { Server } from '../engine/server.ts'
import { chargeWeb, type WebHandler } from '../http/web.ts'

/**
 * Charges for a handler of the web platform (Workers, Bun, Deno, service workers): unpaid requests get a 402, paid ones
 * run the handler once and leave with their receipt.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 *
 * @example
 * ```ts
 * const worker = { fetch: paid(server, { price: '$0.01' }, () => Response.json({ weather: 'fair' })) }
 * ```
 */
export function paid(server: Server, options: PaidOptions, handler: WebHandler): (request: Request) => Promise<Response> {
  const charge = chargeWeb(server, options)
  return (request) => charge({ request, handle: handler })
}
