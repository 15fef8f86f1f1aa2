import { AsyncLocalStorage } from 'node:async_hooks'
import { type Facilitator, present, type Store } from '@flow402x/core'
import { createServer, httpFacilitator, type PaidOptions, type PaymentInfo, type ServerEvent } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import type { HonoRequest, MiddlewareHandler } from 'hono'
import * as z from 'zod/mini'
import type { Environment } from '../stream/environment.ts'
import { openSeller } from '../stream/seller.ts'
import { sdkErrors } from './errors.ts'

/** What a route costs and who is paid; what is not said is read from the environment. */
export type X402Defaults = Pick<PaidOptions, 'description' | 'mimeType' | 'serviceName' | 'tags' | 'iconUrl' | 'extensions'> & {
  readonly price: string
  readonly payTo: string
  /** `BASE_MAINNET`, `base`, `solana`, or a CAIP-2 id. */
  readonly network: string
  /** `USDC` unless told. */
  readonly token?: string
  readonly facilitatorUrl?: string
  readonly facilitator?: Facilitator
  readonly store?: Store
  readonly onEvent?: (event: ServerEvent) => void
  readonly env?: Environment
}

/** What a payment came to. */
export type X402Payment =
  | { readonly verified: true; readonly payer: string; readonly amount: string; readonly network: string; readonly transaction?: string }
  | { readonly verified: false; readonly reason: string }

type Charge = (request: Request) => Promise<Response>

/** One request on its way through a handler: what it may turn into is known when the handler is done. */
type Visit = {
  verify(terms?: Partial<Pick<X402Defaults, 'price' | 'payTo'>>): Promise<X402Payment>
  leave(made: Response): Promise<Response>
}

const visits = new WeakMap<HonoRequest, Visit>()
const opening = new AsyncLocalStorage<(info: PaymentInfo) => Promise<Response>>()

/**
 * Lets handlers of Hono ask `verifyX402Payment(c.req)`: a 402 that they return is given the offer, and what they return to who paid leaves
 * once the money has moved. What a handler returns to somebody whose payment it asked about and who has not paid never leaves.
 *
 * Errors, at once: `flow/no-variable`, which names what is missing, and those of `openSeller`.
 */
export function x402(defaults: X402Defaults): MiddlewareHandler {
  const chargeFor = charges(defaults)
  return async (context, next) => {
    // A browser asks first whether it may pay, and no handler answers that.
    if (context.req.method === 'OPTIONS' && context.req.header('access-control-request-method') !== undefined)
      return await chargeFor(defaults)(new Request(context.req.url, { method: 'OPTIONS', headers: context.req.raw.headers }))
    const visit = createVisit(context.req, (terms) => chargeFor({ price: defaults.price, payTo: defaults.payTo, ...terms }))
    visits.set(context.req, visit)
    await next()
    const response = await visit.leave(context.res)
    if (response === context.res) return
    // Hono merges the headers of an old response into a new one.
    context.res = undefined
    context.res = response
  }
}

/**
 * Whether a request is paid for, under `x402(defaults)`; `terms` are this route's own price and payee. The money moves once the handler has
 * answered with a status below 400, and before its answer leaves.
 *
 * Errors: `sdk/no-middleware`.
 */
export async function verifyX402Payment(
  request: HonoRequest,
  terms?: Partial<Pick<X402Defaults, 'price' | 'payTo'>>,
): Promise<X402Payment> {
  const visit = visits.get(request)
  if (visit === undefined) throw sdkErrors('sdk/no-middleware', {})
  return await visit.verify(terms)
}

type Terms = Pick<X402Defaults, 'price' | 'payTo'>

/** A charge for each price and payee that is asked, from one server. */
function charges(defaults: X402Defaults): (terms: Terms) => Charge {
  const { token = 'USDC', network, payTo: recipient, facilitatorUrl, store, onEvent, env } = defaults
  const facilitator = defaults.facilitator ?? (facilitatorUrl === undefined ? undefined : httpFacilitator(facilitatorUrl))
  const seller = openSeller({ token, network, recipient, ...present({ facilitator, store, env }) })
  const server = createServer({
    facilitator: seller.facilitator,
    store: seller.store,
    secret: seller.secret,
    schemes: [seller.exact],
    ...present({ onEvent }),
  })
  const { description, mimeType, serviceName, tags, iconUrl, extensions } = defaults
  const route = present({ description, mimeType, serviceName, tags, iconUrl, extensions })
  const made = new Map<string, Charge>()
  const chargeFor = ({ price, payTo }: Terms): Charge => {
    const id = JSON.stringify([price, payTo])
    const known = made.get(id)
    if (known !== undefined) return known
    const charge = paid(server, { ...route, price, payTo }, async (_, { payment }) => {
      const work = opening.getStore()
      // It is set by the only caller there is.
      return work === undefined ? new Response(null, { status: 500 }) : await work(payment)
    })
    // Prices that depend on the request are not kept for ever.
    if (made.size >= 64) made.clear()
    made.set(id, charge)
    return charge
  }
  // What cannot be asked is known at once.
  chargeFor(defaults)
  return chargeFor
}

function createVisit(request: HonoRequest, chargeFor: (terms?: Partial<Terms>) => Charge): Visit {
  let asked: Promise<{ readonly payment: X402Payment; readonly answer: Promise<Response> }> | undefined
  let finish: (made: Response) => void = () => {}
  const goods = new Promise<Response>((resolve) => {
    finish = resolve
  })
  const ask = async (terms?: Partial<Terms>) => {
    const incoming = await incomingOf(request)
    let enter: (info: PaymentInfo) => void = () => {}
    const entered = new Promise<PaymentInfo>((resolve) => {
      enter = resolve
    })
    const work = async (info: PaymentInfo) => {
      enter(info)
      return await goods
    }
    const answer = opening.run(work, () => chargeFor(terms)(incoming))
    const first = await Promise.race([entered.then(verified), answer.then(unverified)])
    return { payment: first, answer }
  }
  return {
    async verify(terms) {
      asked ??= ask(terms)
      return (await asked).payment
    },
    async leave(made) {
      // A handler that never asked sells nothing, unless it says itself that this is to be paid.
      if (asked === undefined && made.status !== 402) return made
      asked ??= ask()
      const { payment, answer } = await asked
      finish(made)
      const response = await answer
      return !payment.verified && made.status === 402 && response.status === 402 ? await merged(made, response) : response
    },
  }
}

/** The request as the gate reads it; its body where there is a payment to be bound to it. Hono keeps what was read for the handler. */
async function incomingOf(request: HonoRequest): Promise<Request> {
  const { method, headers, url } = request.raw
  const isPaying = ['payment-signature', 'x-payment'].some((name) => headers.has(name))
  const body = isPaying && !['GET', 'HEAD'].includes(method) ? await request.arrayBuffer() : undefined
  return new Request(url, { method, headers, ...(body === undefined || body.byteLength === 0 ? {} : { body }) })
}

function verified({ payer, requirements, transaction }: PaymentInfo): X402Payment {
  const { amount, network } = requirements
  return { verified: true, payer, amount, network, ...(transaction === undefined ? {} : { transaction }) }
}

async function unverified(answer: Response): Promise<X402Payment> {
  const told = z.safeParse(problem, await readJson(answer)).data
  return { verified: false, reason: told?.error ?? told?.detail ?? `answered ${answer.status}` }
}

const problem = z.looseObject({ error: z.nullish(z.string()), detail: z.nullish(z.string()) })
const anyObject = z.looseObject({})

/** The handler's own words, in a 402 that says how to pay to clients of every version. */
async function merged(made: Response, offer: Response): Promise<Response> {
  const headers = new Headers(made.headers)
  for (const [name, value] of offer.headers) if (name !== 'content-type' || !headers.has(name)) headers.set(name, value)
  const [own, asked] = [z.safeParse(anyObject, await readJson(made)).data, z.safeParse(anyObject, await readJson(offer)).data]
  const body = own === undefined || asked === undefined ? made.body : JSON.stringify({ ...asked, ...own })
  headers.delete('content-length')
  return new Response(body, { status: 402, headers })
}

async function readJson(response: Response): Promise<unknown> {
  return await response
    .clone()
    .json()
    .catch(() => undefined)
}
