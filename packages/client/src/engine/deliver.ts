import { outcomeFromWire, pause, type SettleResponse } from '@flow402x/core'
import { type Fetch, type Message, sendMessage, withHeader } from '../http/message.ts'
import { keepReceipt, receiptOf } from '../http/receipt.ts'
import { follow, isOpaqueRedirect, markRedirected, maxRedirects, nextHop, paymentHeaders, sameOrigin } from '../http/redirect.ts'
import { clientErrors } from './errors.ts'
import type { Attempt } from './ledger.ts'
import type { RetryOptions } from './options.ts'

/** What is sent: an attempt, or another message that carries a payment. */
export type Sending = Pick<Attempt, 'message' | 'redirected' | 'sends' | 'receipt'> & { readonly terms: Pick<Attempt['terms'], 'url'> }

/** The server's last word on a payment. */
export type Delivered = { readonly response: Response; readonly receipt: SettleResponse | undefined }

/** What is told of a pause before the same payment is sent again. */
export type Pause = { readonly attempt: number; readonly waitMs: number; readonly status?: number; readonly transaction?: string }

/** How a payment is sent: the caller's `signal` stops the waiting and not the payment. */
export type DeliverOptions = {
  readonly fetch: Fetch
  readonly retry: RetryOptions
  readonly now: () => number
  readonly random: (length: number) => Uint8Array
  readonly signal: AbortSignal | undefined
  readonly onPause: (pause: Pause) => void
}

/**
 * Sends one payment until the server has answered it: the same bytes again after a network failure, and after 409 or 503
 * when the server says that it has the payment. Never signs.
 *
 * Errors: `client/settle-unknown`, `client/settle-pending`, `client/delivery-failed`, `client/paid-redirect-refused`, and the
 * signal's reason.
 */
export async function deliver(attempt: Sending, options: DeliverOptions): Promise<Delivered> {
  const { attempts = 5, totalMs = 60_000 } = options.retry
  const started = options.now()
  for (let tries = 1; ; tries++) {
    attempt.sends++
    const sent = await sendOnce(attempt, options)
    if ('response' in sent && !isUnfinished(sent)) return sent
    const waitMs = pauseAfter(sent, tries, options)
    const transaction = 'response' in sent ? (sent.receipt?.transaction ?? '') : ''
    if (tries >= attempts || options.now() + waitMs - started > totalMs) throw giveUp(attempt, sent, transaction)
    if ('response' in sent) await sent.response.body?.cancel()
    options.onPause({
      attempt: tries,
      waitMs,
      ...('response' in sent ? { status: sent.response.status } : {}),
      ...(transaction === '' ? {} : { transaction }),
    })
    await pause(waitMs, options.signal)
  }
}

type Failed = { readonly cause: unknown }

/** One try. A failure of the network is a value; refusals and the caller's abort are thrown. */
async function sendOnce(attempt: Sending, { fetch, retry, signal }: DeliverOptions): Promise<Delivered | Failed> {
  let message: Message = { ...attempt.message, signal }
  for (let hops = 0; hops <= maxRedirects; hops++) {
    const response = await begin(message, { fetch, attemptMs: retry.attemptMs }).catch((cause: unknown) => {
      if (signal?.aborted) throw cause
      return { cause }
    })
    if ('cause' in response) return response
    const receipt = receiptOf(response)
    if (receipt?.success) attempt.receipt = receipt
    const refused = (why: string) => clientErrors('client/paid-redirect-refused', { url: message.url, why })
    if (isOpaqueRedirect(response)) throw refused('a browser does not tell where it leads')
    const next = message.redirect === 'manual' ? undefined : nextHop(message, response)
    if (next === undefined) return { response: hops === 0 && !attempt.redirected ? response : markRedirected(response), receipt }
    await response.body?.cancel()
    if (message.redirect === 'error') throw refused('the caller asked for no redirects')
    if (next === 'nowhere') throw refused('its target is no http or https URL')
    if (receipt?.success) return await fetchGoods(next, { fetch, receipt, signal })
    if (!sameOrigin(next.url, message.url)) throw refused(`it leads to another origin (${new URL(next.url).origin})`)
    message = next
  }
  throw clientErrors('client/paid-redirect-refused', { url: message.url, why: `there were more than ${maxRedirects} redirects` })
}

/** The redirect itself was what was bought: it is followed like any other, without the payment. */
async function fetchGoods(
  next: Message,
  options: { readonly fetch: Fetch; readonly receipt: SettleResponse; readonly signal: AbortSignal | undefined },
): Promise<Delivered | Failed> {
  const { fetch, receipt, signal } = options
  const plain = paymentHeaders.reduce((message, name) => withHeader(message, name, undefined), next)
  try {
    const { response } = await follow(plain, fetch)
    keepReceipt(response, receipt)
    return { response: markRedirected(response), receipt }
  } catch (cause) {
    if (signal?.aborted) throw cause
    return { cause }
  }
}

async function begin(message: Message, options: { readonly fetch: Fetch; readonly attemptMs: number | undefined }): Promise<Response> {
  const { fetch, attemptMs } = options
  if (attemptMs === undefined) return await sendMessage(message, { fetch, redirect: 'manual' })
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new DOMException(`No answer within ${attemptMs} ms`, 'TimeoutError')), attemptMs)
  const signal = message.signal === undefined ? limit.signal : AbortSignal.any([message.signal, limit.signal])
  // Only the wait for an answer is limited: once it begins, the body may take its time.
  return await sendMessage(message, { fetch, redirect: 'manual', signal }).finally(() => clearTimeout(timer))
}

/** Whether the server has the payment and is not done with it: 409 for busy, 503 for pending (DESIGN §5.3). */
function isUnfinished({ response, receipt }: Delivered): boolean {
  // In the plain dialect a transfer that is not deep enough is a bad request, which may be repeated.
  const again = response.status === 400 && response.headers.has('Retry-After')
  if (response.status !== 409 && response.status !== 503 && !again) return false
  if (receipt === undefined) return response.headers.has('Retry-After')
  return outcomeFromWire(receipt).status === 'pending'
}

function giveUp(attempt: Sending, sent: Delivered | Failed, transaction: string) {
  const { url } = attempt.terms
  if ('response' in sent) return clientErrors('client/settle-pending', { url, status: sent.response.status, transaction })
  if (attempt.receipt !== undefined)
    return clientErrors('client/delivery-failed', { url, transaction: attempt.receipt.transaction, cause: sent.cause })
  return clientErrors('client/settle-unknown', { url, attempts: attempt.sends, cause: sent.cause })
}

/** Exponential with jitter, at least what `Retry-After` asks, at most the longest pause. */
function pauseAfter(sent: Delivered | Failed, tries: number, { retry, now, random }: DeliverOptions): number {
  const { firstDelayMs = 500, maxDelayMs = 10_000 } = retry
  const [noise = 0] = random(1)
  const backoff = Math.round(firstDelayMs * 2 ** (tries - 1) * (0.5 + noise / 510))
  const asked = 'response' in sent ? retryAfter(sent.response, now()) : 0
  return Math.min(Math.max(backoff, asked), maxDelayMs)
}

function retryAfter(response: Response, now: number): number {
  const text = response.headers.get('Retry-After') ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}
