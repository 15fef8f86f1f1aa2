import type { RequestHandler } from 'express'
import type { PaidOptions } from '../engine/offers.ts'
import type { Server } from '../engine/server.ts'
import { chargeNode } from '../http/node-http.ts'

/**
 * Charges for what follows in Express 5: `app.get('/weather', paid(server, { price: '$0.01' }), handler)`. Handlers find
 * the payer in `res.locals.payment` and the signal that ends their time in `res.locals.paid.signal`.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid(server: Server, options: PaidOptions): RequestHandler {
  const charge = chargeNode(server, options)
  return async (request, response, next) => {
    await charge({
      request,
      response,
      asked: { origin: `${request.protocol}://${request.get('host') ?? 'localhost'}`, target: request.originalUrl },
      parsedBody: () => request.body,
      handle: (paid) => {
        Object.assign(response.locals, { payment: paid.payment, paid })
        // What fails after this goes through Express's own error handling, whose answer is taken like any other.
        next()
      },
    })
  }
}
