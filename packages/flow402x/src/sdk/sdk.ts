import { exactEvmClient, privateKeySigner, transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { evmStatementVerifier, evmTextSigner } from '@flow402x/adapters-evm/receipt'
import { exactSolanaClient, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import { solanaStatementVerifier, solanaTextSigner } from '@flow402x/adapters-solana/receipt'
import { createBazaarClient, type Rating, type TextSigner } from '@flow402x/bazaar/client'
import {
  type Client,
  type ClientEvent,
  type ClientStore,
  createClient,
  type Purchase,
  type Spending,
  signedReceipts,
} from '@flow402x/client'
import { type Asset, assetId, assetOf, type ClientScheme, parseNetwork } from '@flow402x/core'
import type { RatingResponse } from '@flow402x/core/bazaar'
import { sqliteStore } from '@flow402x/store/sqlite'
import { rpcVariable } from '../cli/rpc-url.ts'
import { type Environment, needRpcUrl, needVariable } from '../stream/environment.ts'
import { familyOf, hexKey } from '../wallet/account.ts'
import { sdkErrors } from './errors.ts'
import { type CacheOptions, responseCache } from './responses.ts'
import { type RetryOptions, retrying } from './retrying.ts'
import { type DiscoverServices, discover, type Registered, type RegisterService, register, type Service } from './services.ts'

/** What may be spent: prices such as `'$0.10'`, and for coins `caps` by symbol in the coin itself. */
export type SpendingControls = {
  /** `$1` unless told. */
  readonly perRequest?: string
  readonly perDay?: string
  readonly perOrigin?: string
  /** `$10` unless told. */
  readonly total?: string
  readonly caps?: Readonly<Record<string, { readonly perRequest: string; readonly total: string }>>
}

/** What an SDK is made with; what is not said is read from the environment. */
export type X402SDKOptions = {
  /** Your facilitator; it is the marketplace too, where none is named and FLOW402X_BAZAAR_URL is not set. */
  readonly facilitatorUrl?: string
  readonly marketplace?: string
  readonly spending?: SpendingControls
  readonly retry?: RetryOptions
  /** Keeps answers to GET for a while; none are kept unless told. */
  readonly cache?: CacheOptions
  /** What it likes to pay in: a token or the coin of the network, such as `'ETH'`; its first stablecoin unless told. */
  readonly currency?: string
  /** Shared by processes and kept over restarts; the file in FLOW402X_WALLET_FILE unless told, else this process's memory. */
  readonly store?: ClientStore
  readonly fetch?: typeof globalThis.fetch
  readonly env?: Environment
}

/** What an SDK tells: what its client does, and each time it tries again. */
export type SDKEvent = ClientEvent | { readonly type: 'retrying'; readonly url: string; readonly why: string; readonly waitMs: number }

/** One request of a batch. */
export type BatchRequest = { readonly url: string; readonly method?: string; readonly body?: unknown; readonly init?: RequestInit }

/** What came of one request of a batch, in its place. */
export type BatchResult = { readonly response: Response } | { readonly error: unknown }

/** Pays for what it requests (DESIGN §8.2). Bodies that are no text, form or bytes are sent as JSON. */
export type X402SDK = {
  readonly network: string
  readonly address: string
  get(url: string, init?: RequestInit): Promise<Response>
  head(url: string, init?: RequestInit): Promise<Response>
  delete(url: string, init?: RequestInit): Promise<Response>
  post(url: string, body?: unknown, init?: RequestInit): Promise<Response>
  put(url: string, body?: unknown, init?: RequestInit): Promise<Response>
  patch(url: string, body?: unknown, init?: RequestInit): Promise<Response>
  /** Requests side by side, four at a time unless told; one that fails takes no other with it. */
  batch(requests: readonly BatchRequest[], options?: { readonly concurrency?: number }): Promise<readonly BatchResult[]>
  discoverServices(query?: DiscoverServices): Promise<readonly Service[]>
  registerService(service: RegisterService): Promise<Registered>
  /** Rates what was bought (of `purchases`), signed by the wallet that paid, with the seller's receipt where there is one. */
  rateService(rating: RateService): Promise<RatingResponse>
  /** Listens to one kind of event, or to all by `'*'`; what is returned ends it. */
  on<Type extends SDKEvent['type'] | '*'>(type: Type, listener: (event: EventOf<Type>) => void): () => void
  spent(): Promise<Spending>
  purchases(): AsyncIterable<Purchase>
}

/** What is said of a purchase. */
export type RateService = Rating & { readonly marketplace?: string; readonly signal?: AbortSignal }

/** The events of one kind. */
export type EventOf<Type> = Type extends '*' ? SDKEvent : Extract<SDKEvent, { readonly type: Type }>

/**
 * An SDK that pays with this key on this network: `createX402SDK(privateKey, 'BASE_MAINNET', { facilitatorUrl })`.
 *
 * Errors, at once: `config/unknown-network`, `config/bad-private-key`, `config/bad-secret-key`, `config/unknown-asset`, `sdk/no-cap`,
 * `flow/no-variable`, which names what is missing, and those of `createClient`.
 */
export function createX402SDK(privateKey: string, networkName: string, options: X402SDKOptions = {}): X402SDK {
  const { env = process.env, fetch = globalThis.fetch } = options
  const network = parseNetwork(networkName)
  const listeners = new Map<string, Set<(event: SDKEvent) => void>>()
  const emit = (event: SDKEvent) => {
    for (const type of [event.type, '*']) for (const listener of listeners.get(type) ?? []) tell(listener, event)
  }
  const wallet = walletOf({ privateKey, network, env, options })
  const client = createClient({ ...wallet.client, receipts: signedReceipts({ verifiers }), onEvent: emit, fetch })
  const cached = options.cache === undefined ? undefined : responseCache(options.cache)
  const request = requester(client, { retry: options.retry, emit })
  const get = (url: string, init: RequestInit = {}) => {
    const call = () => request(url, { ...init, method: 'GET' })
    return cached === undefined ? call() : cached(keyOf(url, init), call)
  }
  const send =
    (method: string) =>
    (url: string, body?: unknown, init: RequestInit = {}) =>
      request(url, { ...withBody(body, init), method })
  const place = (named: string | undefined) => {
    const url = named ?? options.marketplace ?? env.FLOW402X_BAZAAR_URL ?? options.facilitatorUrl
    if (url === undefined || url === '') throw sdkErrors('sdk/no-marketplace', {})
    return { url, fetch }
  }
  return {
    network,
    address: wallet.address,
    get,
    head: (url, init = {}) => request(url, { ...init, method: 'HEAD' }),
    delete: (url, init = {}) => request(url, { ...init, method: 'DELETE' }),
    post: send('POST'),
    put: send('PUT'),
    patch: send('PATCH'),
    batch: (requests, { concurrency = 4 } = {}) =>
      inTurn(requests, {
        concurrency,
        run: ({ url, method = 'GET', body, init }) => (method === 'GET' ? get(url, init) : send(method)(url, body, init)),
      }),
    discoverServices: async (query = {}) => discover(place(query.marketplace), query),
    registerService: async (service) => register(place(service.marketplace), service),
    rateService: async ({ marketplace, signal, ...rating }) =>
      createBazaarClient(place(marketplace)).rate(rating, { signer: wallet.texts, signal }),
    on(type, listener) {
      const own = listeners.get(type) ?? new Set()
      // An event of this kind is what reaches the listeners of this kind.
      const told = listener as (event: SDKEvent) => void
      listeners.set(type, own.add(told))
      return () => void own.delete(told)
    },
    spent: () => client.spent(),
    purchases: () => client.purchases(),
  }
}

const verifiers = [evmStatementVerifier(), solanaStatementVerifier()]

function tell(listener: (event: SDKEvent) => void, event: SDKEvent): void {
  try {
    listener(event)
  } catch {
    // An observer never decides what becomes of a payment.
  }
}

type Requesting = { readonly retry: RetryOptions | undefined; readonly emit: (event: SDKEvent) => void }

/** One request is one call of the client, however often it is tried: it has one payment at most. */
function requester(client: Client, { retry, emit }: Requesting): (url: string, init: RequestInit) => Promise<Response> {
  return (url, init) => {
    const callId = `sdk_${crypto.randomUUID()}`
    const onRetry = (why: string, waitMs: number) => emit({ type: 'retrying', url, why, waitMs })
    const signal = init.signal ?? undefined
    // A stream can be read once.
    const attempts = init.body instanceof ReadableStream ? { attempts: 1 } : {}
    return retrying(() => client.fetch(url, { ...init, callId }), { ...retry, ...attempts, onRetry, signal })
  }
}

function withBody(body: unknown, init: RequestInit): RequestInit {
  if (body === undefined) return init
  const isRaw =
    typeof body === 'string' ||
    body instanceof Uint8Array ||
    body instanceof ArrayBuffer ||
    body instanceof Blob ||
    body instanceof FormData ||
    body instanceof URLSearchParams ||
    body instanceof ReadableStream
  // What was just looked at is what fetch sends as it is; bytes of this process are over an ArrayBuffer.
  if (isRaw) return { ...init, body: body as BodyInit }
  const headers = new Headers(init.headers)
  if (!headers.has('content-type')) headers.set('content-type', 'application/json')
  return { ...init, headers, body: JSON.stringify(body) }
}

/** What makes an answer the answer to this request: who asks otherwise may be told otherwise. */
function keyOf(url: string, { headers }: RequestInit): string {
  return JSON.stringify([url, [...new Headers(headers)].sort()])
}

type Turns<Item> = { readonly concurrency: number; readonly run: (item: Item) => Promise<Response> }

async function inTurn<Item>(items: readonly Item[], { concurrency, run }: Turns<Item>): Promise<readonly BatchResult[]> {
  const results: BatchResult[] = []
  const waiting = [...items.entries()].reverse()
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [index, item] = next
      results[index] = await run(item).then(
        (response) => ({ response }),
        (error: unknown) => ({ error }),
      )
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, work))
  return results
}

type WalletParts = { readonly privateKey: string; readonly network: string; readonly env: Environment; readonly options: X402SDKOptions }
type WalletOf = { readonly address: string; readonly texts: TextSigner; readonly client: Parameters<typeof createClient>[0] }

function walletOf({ privateKey, network, env, options }: WalletParts): WalletOf {
  const { currency, spending = {} } = options
  const asset = assetOf(network, currency)
  const isCoin = asset.transfer === 'native'
  if (isCoin && spending.caps?.[asset.symbol] === undefined) throw sdkErrors('sdk/no-cap', { currency: asset.symbol })
  const file = env.FLOW402X_WALLET_FILE
  // What transfers by itself must be written down where it outlives the process.
  const needed = isCoin
    ? () => sqliteStore(needVariable(env, 'FLOW402X_WALLET_FILE', 'the file of your wallet, on a local disk'))
    : undefined
  const store = options.store ?? (file === undefined || file === '' ? needed?.() : sqliteStore(file))
  const { texts, schemes } = schemesFor({ privateKey, network, env, isCoin })
  return {
    address: texts.address,
    texts,
    client: {
      schemes,
      budget: budgetOf(spending, network),
      ...(currency === undefined ? {} : { prefer: [assetId(asset)] }),
      ...(store === undefined ? {} : { store }),
    },
  }
}

function schemesFor({
  privateKey,
  network,
  env,
  isCoin,
}: Pick<WalletParts, 'privateKey' | 'network' | 'env'> & { readonly isCoin: boolean }) {
  if (familyOf(network) === 'solana') {
    const signer = secretKeySender(privateKey)
    const rpcUrl = env[rpcVariable(network)]
    const reader = rpcUrl === undefined ? {} : { reader: solanaReader({ rpcUrl }) }
    return { texts: solanaTextSigner(signer), schemes: [exactSolanaClient({ signer, networks: [network], ...reader })] }
  }
  const key = hexKey(privateKey)
  const signer = privateKeySigner(key)
  const exact: ClientScheme = exactEvmClient({ signer, networks: [network] })
  const coin = isCoin ? [transferProofEvmClient({ chain: evmChain({ network, rpcUrl: needRpcUrl(env, network), signers: [key] }) })] : []
  return { texts: evmTextSigner(signer), schemes: [...coin, exact] }
}

function budgetOf({ perRequest, caps = {}, ...rest }: SpendingControls, network: string) {
  const limits = Object.entries(caps).map(([symbol, cap]) => {
    const asset: Asset = assetOf(network, symbol)
    return [assetId(asset), { perPayment: cap.perRequest, total: cap.total }] as const
  })
  return {
    ...rest,
    ...(perRequest === undefined ? {} : { perPayment: perRequest }),
    ...(limits.length === 0 ? {} : { caps: Object.fromEntries(limits) }),
  }
}
