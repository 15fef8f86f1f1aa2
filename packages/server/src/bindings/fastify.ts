import type { FastifyReply, preHandlerHookHandler } from 'fastify'
import type { PaidOptions } from '../engine/offers.ts'
import type { PaidFacts } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { chargeNode } from '../http/node-http.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who paid for this request, behind `paid`. */
    payment?: PaidFacts['payment']
    /** The same, and the signal that aborts when the handler's time is over, behind `paid`. */
    paid?: PaidFacts
  }
}

/**
 * Charges for a Fastify route: `app.get('/weather', { preHandler: paid(server, { price: '$0.01' }) }, handler)`.
 *
 * Errors, at once: those of `createGate` for a price, payee or flow that cannot be asked.
 */
export function paid(server: Server, options: PaidOptions): preHandlerHookHandler {
  const charge = chargeNode(server, options)
  return (request, reply, done) => {
    const handle = (paid: PaidFacts) => {
      Object.assign(request, { payment: paid.payment, paid })
      done()
    }
    // Headers of earlier hooks live in the reply until it is sent; answers that replace the handler's need them too.
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
    charge({
      request: request.raw,
      response: reply.raw,
      asked: { origin: `${request.protocol}://${request.host}`, target: request.originalUrl },
      parsedBody: () => request.body,
      handle,
      answer: (given) => answer(reply, given),
    }).catch(done)
  }
}

async function answer(reply: FastifyReply, given: Response): Promise<void> {
  const body = Buffer.from(await given.arrayBuffer())
  for (const [name, value] of given.headers) if (name !== 'access-control-allow-origin' || !reply.hasHeader(name)) reply.header(name, value)
  await reply.status(given.status).send(body)
}
