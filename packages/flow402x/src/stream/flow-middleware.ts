import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { solanaPaymentWitness } from '@flow402x/adapters-solana/bazaar'
import { formatPrice, networkFamily } from '@flow402x/core'
import { createServer, type ServerEvent } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { viewed } from '@flow402x/stream/express'
import { createViews, type KeptViews } from '@flow402x/stream/server'
import { paymentPage } from '@flow402x/web'
import type { RequestHandler } from 'express'
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
    /** How many views one payment buys: as many as its viewer likes unless told. Each lasts `viewLasts` seconds, three hours unless told. */
    readonly views?: number
    readonly viewLasts?: number
    /** Your own origin (`https://shop.example`): each view then takes a proof by the wallet that paid, and a copied pass opens nothing. */
    readonly viewOrigin?: string
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

function viewMiddleware(seller: Seller, options: FlowOptions & { readonly perView: FlowPrice }): RequestHandler {
  const { perView, viewSeconds, onEvent } = options
  const { store, facilitator, secret, exact } = seller
  const { price } = rateOf(perView, 'view')
  const server = createServer({ facilitator, store, secret, schemes: [exact], page: paymentPage(), ...(onEvent && { onEvent }) })
  // Settled before it is shown: a grant is for what was paid.
  const charge = paid(server, { price: formatPrice(price), flow: 'upfront' })
  const views = createViews({ secret, ttl: viewSeconds, kept: keptViews(seller, options) })
  const show = viewed(views, charge)
  const friendly = friendlyHeaders(seller, { price: perView, unit: 'view' })
  return (request, response, next) => {
    for (const [name, value] of friendly) response.setHeader(name, value)
    response.setHeader('Access-Control-Expose-Headers', exposed)
    return show(request, response, next)
  }
}

/** Views as the seller's books keep them: what was paid outlives every process. */
function keptViews({ store, network, rpcUrl }: Seller, { views, viewLasts: lasts, viewOrigin }: FlowOptions): KeptViews {
  const witness = networkFamily(network) === 'solana' ? solanaPaymentWitness : evmPaymentWitness
  const proof = viewOrigin === undefined ? {} : { wallets: [witness({ network, rpcUrl })] }
  return { store, origin: viewOrigin ?? '', views, lasts, ...proof }
}

const exposed = 'Payment-Address, Payment-Rate, Payment-Token, Network'
