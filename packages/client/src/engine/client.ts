import { defaultRetention, memoryBudgets, memoryLedger, memoryPayees } from '@flow402x/core/memory'
import { createBreaker } from '../guard/breaker.ts'
import { type Purchase, purchasesIn } from '../guard/receipts.ts'
import { type Fetch, type Message, readMessage } from '../http/message.ts'
import { readOffer } from '../http/offer.ts'
import type { Asked } from '../http/offer-memory.ts'
import { type Exchange, follow, paymentHeaders } from '../http/redirect.ts'
import type { Terms } from './choose.ts'
import { clientErrors, type LeftOut } from './errors.ts'
import { type Attempt, cancel, sweep } from './ledger.ts'
import { readLimits } from './limits.ts'
import { type ClientOptions, type ClientStore, checkOptions } from './options.ts'
import { complete, consider, pay, type Wallet } from './pay.ts'
import { createPurse, type Spending } from './spending.ts'

/**
 * What a resource asks before anything is paid. `free`: it answered without asking. `payable`: `terms` is what a call would
 * pay, `alternatives` what else it could. `unpayable`: it asks for a payment this client does not make; `leftOut` says why.
 */
export type Quote =
  | { readonly kind: 'free'; readonly status: number }
  | { readonly kind: 'payable'; readonly terms: Terms; readonly alternatives: readonly Terms[]; readonly leftOut: readonly LeftOut[] }
  | { readonly kind: 'unpayable'; readonly leftOut: readonly LeftOut[] }

/**
 * What the web's `fetch` takes, and `callId`: the caller's own name for one purchase. A call that bears it again, with the same
 * request, sends the payment of the first instead of signing another, also from another process or after a restart where the
 * client has a store; until a day after that payment is dead.
 */
export type PaidInit = RequestInit & { readonly callId?: string | undefined }

/** Pays when a server answers 402. Its functions may be taken off it and passed around. */
export interface Client {
  /**
   * The web's `fetch`. A 402 with an x402 offer is paid within the budget and the request sent again, body and all; a call
   * signs at most one payment, and until that one is answered it sends the same again. What the server then answers is
   * returned, also when it took no money; `receiptOf` reads its receipt. A request that already carries a payment passes
   * through untouched.
   *
   * Errors: `client/…`, each saying whether money moved; what `fetch` throws before a payment was sent; the signal's reason.
   */
  fetch(input: RequestInfo | URL, init?: PaidInit): Promise<Response>
  /** Asks without paying. It sends the request, so a resource that asks nothing is served. Errors: as `fetch` before signing. */
  quote(input: RequestInfo | URL, init?: RequestInit): Promise<Quote>
  /**
   * Sends the payment of an earlier call again, the same bytes, and signs nothing. It takes what `fetch` threw, an error
   * that has it as its cause, or a response: an unsettled one, or one whose body broke off. Errors: `client/nothing-to-resume`, and those of `fetch`.
   */
  resume(interrupted: unknown, options?: { readonly signal?: AbortSignal | undefined }): Promise<Response>
  /**
   * Revokes a payment on chain that was signed and not settled: what `resume` takes, or `{ callId }`, also after a restart. It
   * resolves once the chain has proved that it cannot be spent; only then its amount is free again, and its callId may pay anew.
   * The scheme needs a way to the chain, such as `cancellableExactEvmClient`.
   *
   * Errors: `client/already-spent`, `client/cancel-failed`, `client/cannot-cancel`, `client/nothing-to-cancel`; the signal's reason.
   */
  cancel(payment: unknown, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** What is used of the budget. */
  spent(): Promise<Spending>
  /** What was paid and has a receipt, for as long as the store keeps it: a day after the payment is dead unless it is told otherwise. */
  purchases(): AsyncIterable<Purchase>
}

/** Makes a client; options are checked here. Errors: `client/bad-option`, `config/…`. */
export function createClient(options: ClientOptions): Client {
  const wallet = createWallet(checkOptions(options))
  const client = Object.freeze<Client>({
    async fetch(input, { callId, ...init } = {}) {
      if (carriesPayment(input, init)) return await wallet.fetch(input, init)
      const answer = await askUnlessKnown(wallet, await readMessage(input, init))
      return 'offer' in answer ? await pay(wallet, answer, callId) : answer.response
    },
    async quote(input, init) {
      const answer = await ask(wallet, await readMessage(input, init))
      await answer.response.body?.cancel()
      if (!('offer' in answer))
        return answer.response.status === 402 ? { kind: 'unpayable', leftOut: [] } : { kind: 'free', status: answer.response.status }
      const { candidates, leftOut } = await consider(wallet, answer)
      const [terms, ...alternatives] = candidates.map((candidate) => candidate.terms)
      return terms === undefined ? { kind: 'unpayable', leftOut } : { kind: 'payable', terms, alternatives, leftOut }
    },
    async resume(interrupted, { signal } = {}) {
      const attempt = findAttempt(wallet.open, interrupted)
      if (attempt === undefined) throw clientErrors('client/nothing-to-resume', {})
      return await complete(wallet, attempt, signal)
    },
    async cancel(payment, { signal } = {}) {
      const entry = await cancel(wallet, callIdOf(payment) ?? findAttempt(wallet.open, payment)?.id, signal)
      wallet.emit({ id: entry.id, type: 'cancelled', url: entry.signed?.url ?? '' })
    },
    async spent() {
      await sweep(wallet)
      return await wallet.purse.spent()
    },
    purchases: () => purchasesIn(wallet.ledger),
  })
  wallets.set(client, wallet)
  return client
}

const wallets = new WeakMap<Client, Wallet>()

/** What stands behind a client that `createClient` made. Errors: `client/bad-option` for any other. */
export function walletOf(client: Client): Wallet {
  const wallet = wallets.get(client)
  if (wallet === undefined) throw clientErrors('client/bad-option', { option: 'client', why: 'createClient did not make it' })
  return wallet
}

function createWallet(options: ClientOptions): Wallet {
  const { schemes, prefer, beforeSign, onEvent, retry = {}, maxTimeoutSeconds = 600, allowInsecure = false } = options
  const { fetch: send = globalThis.fetch, now = Date.now, random = randomBytes, budget = {}, assets = [] } = options
  const { store = memoryClientStore(), approvePayee, dynamicPayees = [] } = options
  // Browsers refuse to be called as a method of anything.
  const fetch: Fetch = (input, init) => send(input, init)
  const emit: Wallet['emit'] = (event) => {
    try {
      onEvent?.(event)
    } catch {
      // An observer never decides what becomes of a payment.
    }
  }
  const limits = readLimits({ budget, assets, now })
  return {
    limits,
    purse: createPurse({ limits, store: store.budgets }),
    ledger: store.ledger,
    payees: store.payees,
    breaker: createBreaker(options.breaker ?? {}, now),
    offers: options.offers,
    approvePayee,
    dynamicPayees,
    fetch,
    schemes,
    prefer,
    funds: options.funds,
    receipts: options.receipts,
    beforeSign,
    retry,
    maxTimeoutSeconds,
    allowInsecure,
    now,
    random,
    emit,
    open: new WeakMap(),
  }
}

function memoryClientStore(): ClientStore {
  return { budgets: memoryBudgets(), ledger: memoryLedger(defaultRetention), payees: memoryPayees() }
}

async function askUnlessKnown(wallet: Wallet, message: Message): Promise<Exchange | Asked> {
  return wallet.offers?.recall(message, wallet.now()) ?? (await ask(wallet, message))
}

/** The unpaid try: an answer, or a 402 with an offer. */
export async function ask(wallet: Wallet, message: Message): Promise<Exchange | Asked> {
  const exchange = await follow(message, wallet.fetch)
  if (exchange.response.status !== 402) return exchange
  const offer = await readOffer(exchange.response, { url: exchange.message.url, schemes: wallet.schemes })
  if (offer === undefined) return exchange
  const asked = { ...exchange, offer }
  wallet.offers?.note(asked, { ...wallet, now: wallet.now() })
  return asked
}

function carriesPayment(input: RequestInfo | URL, init: RequestInit | undefined): boolean {
  const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined))
  return paymentHeaders.some((name) => headers.has(name))
}

function callIdOf(payment: unknown): string | undefined {
  const named = typeof payment === 'object' && payment !== null && 'callId' in payment ? payment.callId : undefined
  return typeof named === 'string' ? named : undefined
}

/** Libraries wrap what `fetch` threw, so causes are looked through. */
function findAttempt(open: WeakMap<object, Attempt | undefined>, interrupted: unknown): Attempt | undefined {
  for (let value = interrupted, depth = 0; typeof value === 'object' && value !== null && depth < 5; depth++) {
    const attempt = open.get(value)
    if (attempt !== undefined) return attempt
    value = 'cause' in value ? value.cause : undefined
  }
  return undefined
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length))
}
