import { formatPrice } from '@flow402x/core'
import { createServer, type ServerEvent } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { createViews } from '@flow402x/stream/server'
import type { RequestHandler, Response } from 'express'
import { streamErrors } from './errors.ts'
import { type RateOptions, rateMiddleware } from './rate-middleware.ts'
import { openSeller, type Seller, type SellerOptions } from './seller.ts'
import { type FlowPrice, friendlyHeaders, rateOf } from './words.ts'

/** What is charged for what follows. */
export type FlowOptions = SellerOptions &
  Partial<RateOptions> & {
    /** Dollars for each view: who has paid sees it again for as long as `viewSeconds`, thirty days unless told. */
    readonly perView?: FlowPrice
    readonly viewSeconds?: number
    readonly onEvent?: (event: ServerEvent) => void
  }

/**
 * Charges for what follows, in Express: when the money flows, it flows. What the words leave unsaid is read from the environment
 * (DESIGN §8.1).
 *
 * Errors, at once: `flow/no-variable`, which names what is missing, `flow/bad-price`, and those of `openSeller`.
 */
export function flowMiddleware(options: FlowOptions): RequestHandler {
  const { perView, rate } = options
  if ((perView === undefined) === (rate === undefined))
    throw streamErrors('flow/bad-price', { why: 'give either a rate, in dollars for each second, or a price for each view' })
  if (perView !== undefined) return viewMiddleware(openSeller(options), { ...options, perView })
  if (rate === undefined) throw streamErrors('flow/bad-price', { why: 'no rate was given' })
  rateOf(rate, 'second')
  return rateMiddleware(openSeller(options), { ...options, rate })
}

function viewMiddleware(seller: Seller, { perView, viewSeconds, onEvent }: FlowOptions & { readonly perView: FlowPrice }): RequestHandler {
  const { store, facilitator, secret, exact } = seller
  const { price } = rateOf(perView, 'view')
  const server = createServer({ facilitator, store, secret, schemes: [exact], ...(onEvent && { onEvent }) })
  // Settled before it is shown: a grant is for what was paid.
  const charge = paid(server, { price: formatPrice(price), flow: 'upfront' })
  const views = createViews({ secret, ttl: viewSeconds })
  const friendly = friendlyHeaders(seller, { price: perView, unit: 'view' })
  return async (request, response, next) => {
    const { pathname: resource } = new URL(request.originalUrl, 'http://seller.invalid')
    for (const [name, value] of friendly) response.setHeader(name, value)
    response.setHeader('Access-Control-Expose-Headers', exposed)
    if ((await views.read({ get: (name) => request.get(name) ?? null }, resource)) !== undefined) {
      seen(response)
      return next()
    }
    await charge(request, response, (error?: unknown) => {
      if (error !== undefined) return next(error)
      const viewer = `${response.locals.payment?.payer}`
      views.grant({ resource, viewer }).then(({ headers }) => {
        for (const [name, value] of headers) response.appendHeader(name, value)
        seen(response)
        next()
      }, next)
    })
  }
}

const exposed = 'Payment-Address, Payment-Rate, Payment-Token, Network, Payment-Pass'

/** Whose it is only he may keep: no cache in between shows it to another. */
function seen(response: Response): void {
  response.setHeader('Cache-Control', 'private, no-store, no-transform')
  response.vary('Payment-Pass, Cookie')
}
