import { type Asked, type Extension, isX402Error, type ResourceInfo } from '@flow402x/core'
import { isVisit } from '@flow402x/core/page'
import { askExtensions, extensionsOf } from '../extensions/extensions.ts'
import { fileAnswer, shown } from '../page/page.ts'
import { honoured } from '../proof/quotes.ts'
import { challengeAnswer, preflightResponse, problemResponse } from './answers.ts'
import { serverErrors } from './errors.ts'
import { checkPaidOptions, type PaidOptions, type Quote, quoteOf, quoter, resourceOf } from './offers.ts'
import { type Ask, admitPayment } from './payment.ts'
import { readPayment } from './payment-header.ts'
import type { IncomingRequest } from './request.ts'
import type { Admission } from './run.ts'
import type { Engine, Server } from './server.ts'

/** Stands before a handler: answers a request itself, or lets the handler run under a claim. */
export type Gate = {
  /** Never rejects: whatever goes wrong before the handler is an answer that lets nobody in. */
  admit(request: IncomingRequest): Promise<Admission>
}

/**
 * The gate of one route.
 *
 * Errors, at once: `config/bad-price`, `config/sub-atomic`, `config/below-minimum`, `config/unsupported-flow`,
 * `config/short-timeout`, `config/offer-too-large`.
 */
export function createGate({ engine }: Server, options: PaidOptions): Gate {
  checkPaidOptions(options, engine)
  const quoteFor = quoter(options, engine)
  const urlOf = publicUrls(engine)
  const askers = extensionsOf(engine, options, { offers: [] }).filter(({ ask }) => ask !== undefined)
  return {
    async admit(incoming) {
      try {
        const { method, header, body } = incoming
        return await admit(engine, { request: { method, header, body, url: urlOf(incoming.url) }, options, quoteFor, askers })
      } catch (error) {
        if (isX402Error(error) && error.status < 500) return { kind: 'answer', response: problemResponse(engine, error) }
        engine.emit({ type: 'error', error })
        return { kind: 'answer', response: problemResponse(engine, serverErrors('server/not-ready', {}), { retryAfter: 5 }) }
      }
    },
  }
}

type Entry = {
  readonly request: IncomingRequest
  readonly options: PaidOptions
  readonly quoteFor: ReturnType<typeof quoter>
  /** The extensions that say something else in each 402. */
  readonly askers: readonly Extension[]
}

async function admit(engine: Engine, { request, options, quoteFor, askers }: Entry): Promise<Admission> {
  const preflight = request.method === 'OPTIONS' ? request.header('access-control-request-method') : undefined
  if (preflight !== undefined) {
    const headers = request.header('access-control-request-headers')
    return { kind: 'answer', response: preflightResponse(engine, { method: preflight, headers }) }
  }
  // Files of a page cost nothing, whatever a price is made of.
  const file = engine.page === undefined ? undefined : await fileAnswer(engine.page, request)
  if (file !== undefined) return file
  const quote = await quoteFor(await engine.ready(), request)
  const incoming = readPayment(request, quote)
  const ask: Ask = async (error, { detail, status = 402, correct } = {}) => {
    engine.emit(error === unpaid ? { type: 'challenged', url: request.url } : { type: 'refused', url: request.url, reason: error })
    if (incoming.kind === 'payment' && incoming.dialect === 'plain') {
      const response = problemResponse(engine, serverErrors('payment/invalid', { reason: detail ?? error }), { reason: error })
      return { kind: 'answer', response }
    }
    const resource = resourceOf(options, request.url)
    const asked = await quoteOf(quote, request, engine)
    if (asked !== undefined) {
      const offered = correct?.(asked) ?? asked
      const said = askers.length === 0 ? undefined : await askExtensions(askers, { engine, asked: askedIn(engine, offered, resource) })
      const answer = challengeAnswer(engine, { quote: offered, options, resource, asked: said, error, status, detail })
      const isSeen = engine.page !== undefined && error === unpaid && isVisit(request)
      return isSeen ? shown(answer, { engine, options, url: request.url, resource, quote: offered }) : answer
    }
    const tooLarge = serverErrors('payment/body-too-large', { limit: engine.maxBodyBytes })
    return { kind: 'answer', response: problemResponse(engine, tooLarge) }
  }
  if (incoming.kind === 'none') return ask(unpaid)
  if (incoming.kind === 'unmatched') return ask('No matching payment requirements')
  if (incoming.kind === 'malformed') {
    const reason = incoming.error.message.includes('invalid_x402_version') ? 'invalid_x402_version' : 'invalid_payload'
    engine.emit({ type: 'refused', url: request.url, reason })
    return { kind: 'answer', response: problemResponse(engine, incoming.error, { reason }) }
  }
  const { payment, dialect } = incoming
  const held = quote.changing === true ? await honoured(quote, { request, payment, engine }) : quote
  return admitPayment({ engine, request, options, quote: held, payment, dialect, ask })
}

const unpaid = 'Payment required'

function askedIn({ clock }: Engine, { offers }: Quote, resource: ResourceInfo): Asked {
  return { resource, accepts: offers.map(({ requirements }) => requirements), now: Math.floor(clock() / 1000) }
}

/** The URL of a request as the public knows it; the one that was asked last is often asked again. */
function publicUrls(engine: Engine): (text: string) => string {
  let last = { text: '', url: '' }
  return (text) => {
    if (text !== last.text) last = { text, url: publicUrl(engine, text) }
    return last.url
  }
}

function publicUrl(engine: Engine, text: string): string {
  if (!URL.canParse(text)) throw serverErrors('payment/bad-url', {})
  const url = new URL(text)
  url.hash = ''
  return engine.origin === undefined ? url.href : `${engine.origin}${url.pathname}${url.search}`
}
