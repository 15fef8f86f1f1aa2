import type { Message, OutboxStore } from '@flow402x/core'
import { storeErrors } from '../claims/errors.ts'

/** Where messages go. */
export type Webhook = {
  /** https, and no address of a private network unless `allowPrivate` says so. */
  readonly url: string
  /** What messages are signed with: 24 characters or more; behind `whsec_` it is base64. */
  readonly secret: string
  /** Lets http and addresses of private networks pass. Names are not resolved: the URL is the operator's own. */
  readonly allowPrivate?: boolean
}

/** What became of one attempt; nothing in it is secret. `nextAttemptAt` in Unix milliseconds. */
export type DeliveryEvent =
  | { readonly type: 'told'; readonly id: string; readonly topic: string }
  | {
      readonly type: 'notTold'
      readonly id: string
      readonly topic: string
      readonly attempts: number
      readonly nextAttemptAt: number
      /** What was answered; without it nothing was. */
      readonly status?: number
      readonly error?: unknown
    }
  | { readonly type: 'outboxFailed'; readonly error: unknown }

/** How messages are delivered. Times in milliseconds. */
export type DeliverOptions = {
  readonly fetch?: typeof fetch
  /** How long an answer may take; 15,000 unless told. */
  readonly timeout?: number
  /** How often it is looked whether something is due; 1000 unless told. */
  readonly every?: number
  /** How many are on their way at once; 8 unless told. */
  readonly most?: number
  /** The shortest and the longest wait before a message is tried again: 5 seconds and 6 hours unless told. */
  readonly retry?: { readonly first?: number; readonly longest?: number }
  readonly onEvent?: (event: DeliveryEvent) => void
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** A number from 0 up to 1. */
  readonly random?: () => number
}

/** What delivers; nobody who takes payments waits for it. */
export type Deliverer = {
  /** Tells what is due now, and says how many were told. It never rejects. */
  round(): Promise<number>
  /** Takes no more, and resolves when what is on its way has an answer. */
  close(): Promise<void>
}

/**
 * Tells what is in an outbox by `POST` of `{ type, timestamp, data }`, at least once each, in no order, from now until `close`. The
 * receiver answers 2xx; everything else, a redirect too, is tried again with growing waits, for as long as it takes. Any number of
 * processes may deliver from one outbox.
 *
 * Signed as the Standard Webhooks specification says, so that its libraries verify it: `webhook-id` (the same when a message comes
 * again), `webhook-timestamp` (Unix seconds) and `webhook-signature`, `v1,` and the base64 of the HMAC-SHA-256 of
 * `id.timestamp.body`.
 *
 * Errors: `config/bad-webhook` at creation.
 */
export function deliverWebhooks(
  outbox: OutboxStore,
  { url, secret, allowPrivate = false, ...options }: Webhook & DeliverOptions,
): Deliverer {
  const { timeout = 15_000, every = 1000, most = 8, clock = Date.now, onEvent } = options
  const target = checkedUrl(url, allowPrivate)
  const sign = signer(secret)
  const pause = backoff(options)
  const ask = options.fetch ?? fetch
  let underWay: Promise<number> | undefined
  let closed = false
  let timer: ReturnType<typeof setTimeout> | undefined

  void run()
  return {
    round,
    async close() {
      closed = true
      clearTimeout(timer)
      await underWay
    },
  }

  async function run(): Promise<void> {
    await round()
    if (closed) return
    timer = setTimeout(() => void run(), every)
    // Runtimes without Node's timers have nothing to keep alive.
    if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  }

  function round(): Promise<number> {
    underWay ??= deliver().finally(() => {
      underWay = undefined
    })
    return underWay
  }

  async function deliver(): Promise<number> {
    let told = 0
    try {
      while (!closed) {
        const now = clock()
        // Twice as long as an answer may take, so that nobody else takes what is on its way.
        const messages = await outbox.take({ now, until: now + 2 * timeout, most })
        if (messages.length === 0) break
        for (const answer of await Promise.allSettled(messages.map(tell))) {
          if (answer.status === 'rejected') observe({ type: 'outboxFailed', error: answer.reason })
          else if (answer.value) told += 1
        }
      }
    } catch (error) {
      observe({ type: 'outboxFailed', error })
    }
    return told
  }

  /** Where the outbox does not take down what became of it, it is due again when its lease ends. */
  async function tell(message: Message): Promise<boolean> {
    const { id, topic, attempts } = message
    const answer = await post(message)
    if ('status' in answer && answer.status >= 200 && answer.status < 300) {
      await outbox.done(message, clock())
      observe({ type: 'told', id, topic })
      return true
    }
    const nextAttemptAt = clock() + pause(attempts)
    await outbox.later(message, nextAttemptAt)
    observe({ type: 'notTold', id, topic, attempts, nextAttemptAt, ...answer })
    return false
  }

  async function post({ id, topic, body: data, createdAt }: Message): Promise<{ readonly status: number } | { readonly error: unknown }> {
    const timestamp = String(Math.floor(clock() / 1000))
    const body = `{"type":${JSON.stringify(topic)},"timestamp":"${new Date(createdAt).toISOString()}","data":${data}}`
    try {
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': await sign(`${id}.${timestamp}.${body}`),
      }
      // A redirect would take what is signed for one receiver to another.
      const response = await ask(target, { method: 'POST', headers, body, redirect: 'manual', signal: AbortSignal.timeout(timeout) })
      await response.body?.cancel()
      return { status: response.status }
    } catch (error) {
      return { error }
    }
  }

  function observe(event: DeliveryEvent): void {
    try {
      onEvent?.(event)
    } catch {
      // What is told does not depend on who watches.
    }
  }
}

/** Doubled with every attempt, and spread so that what failed together does not come again together. */
function backoff({
  retry: { first = 5000, longest = 21_600_000 } = {},
  random = Math.random,
}: DeliverOptions): (attempts: number) => number {
  return (attempts) => Math.min(first * 2 ** (attempts - 1), longest) * (0.5 + random() / 2)
}

const leastSecret = 24

function signer(secret: string): (text: string) => Promise<string> {
  const encoded = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : undefined
  if (secret.length < leastSecret) throw badWebhook(`its secret has fewer than ${leastSecret} characters`)
  if (encoded !== undefined && !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw badWebhook('its secret is not base64 behind "whsec_"')
  const bytes = encoded === undefined ? new TextEncoder().encode(secret) : bytesOf(atob(encoded))
  let key: Promise<CryptoKey> | undefined
  return async (text) => {
    key ??= crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    const signature = await crypto.subtle.sign('HMAC', await key, new TextEncoder().encode(text))
    return `v1,${btoa(String.fromCharCode(...new Uint8Array(signature)))}`
  }
}

function bytesOf(binary: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

function checkedUrl(text: string, allowPrivate: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw badWebhook('its URL is no https URL')
  if (url.username !== '' || url.password !== '') throw badWebhook('its URL carries credentials; the secret signs instead')
  if (allowPrivate) return url.href
  if (url.protocol !== 'https:') throw badWebhook('its URL is not https, which takes { allowPrivate: true }')
  if (isPrivate(url.hostname)) throw badWebhook(`${url.hostname} is in a private network, which takes { allowPrivate: true }`)
  return url.href
}

/** A host as a parsed URL spells it: IPv4 in four decimal numbers, IPv6 in its shortest form. */
function isPrivate(host: string): boolean {
  if (host.startsWith('[')) return !/^\[[23]/.test(host)
  const [, a, b] = /^(\d+)\.(\d+)\.\d+\.\d+$/.exec(host)?.map(Number) ?? []
  if (a === undefined || b === undefined) return !host.includes('.') || /\.(localhost|local|internal)\.?$/.test(host)
  if ([0, 10, 127].includes(a) || a >= 224) return true
  return (a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)
}

function badWebhook(why: string): Error {
  return storeErrors('config/bad-webhook', { why })
}
