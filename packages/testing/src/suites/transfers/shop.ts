import {
  type ClientScheme,
  type PaymentPayload,
  type PaymentRequirements,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
  type ServerScheme,
  type SettleResponse,
  type Store,
} from '@flow402x/core'
import type { TransferSellerOptions } from '@flow402x/core/transfer'

/** One asset on one local chain, with who sells and who pays in it. */
export type TransferStage = {
  readonly price: string
  /** What that is in atomic units. */
  readonly amount: bigint
  scheme(options?: Partial<TransferSellerOptions> & { readonly patience?: number; readonly confirmations?: number }): ServerScheme
  readonly payer: ClientScheme
  readonly stranger: ClientScheme
  /** What the seller holds. */
  held(): Promise<bigint>
  /** Makes an equal transfer that carries nothing, and names its transaction. */
  untagged(amount: bigint): Promise<string>
  /** Somebody else who can be paid, and another asset of the chain. */
  readonly other: { readonly payTo: string; readonly asset: string }
  /** A transaction name that the chain has never seen. */
  readonly unknown: string
}

/** The secret of a shop. */
export const shopSecret = 'a secret of this shop and of no other'

/** What a shop tells of itself. */
type ShopEvent = { readonly type: string; readonly message?: string }

/** What a shop under test is made of. */
export type ShopParts = {
  readonly origin: string
  readonly schemes: readonly ServerScheme[]
  readonly store: Store
  readonly price: string | (() => string)
  readonly maxTimeoutSeconds?: number | undefined
  readonly onEvent: (event: ShopEvent) => void
  readonly handler: (request: Request) => Promise<Response>
}

/** A server under test with one paid route, which needs nobody but the chain. */
export type MadeShop = {
  charge(request: Request): Promise<Response>
  start(): Promise<void>
  close(): void
  books(): AsyncIterable<{ readonly outcome: string; readonly amount: string; readonly transaction: string }>
}

/** How shops are made, and what they keep. */
export type ShopMaker = { readonly make: (parts: ShopParts) => MadeShop; readonly newStore: () => Store }

/** An answer of a shop: `reason` is why it is no. */
export type ShopAnswer = {
  readonly status: number
  readonly text: string
  readonly reason: string | undefined
  readonly retryAfter: string | null
  readonly receipt?: SettleResponse
}

/** A shop as the suite uses it. */
export type Shop = {
  readonly made: MadeShop
  readonly state: { runs: number; status: number }
  readonly events: readonly ShopEvent[]
  ask(path?: string, init?: RequestInit): Promise<Response>
  /** What one request is asked. */
  offer(path?: string, init?: RequestInit): Promise<PaymentRequirements>
  /** Shows a payment. */
  pay(payment: PaymentPayload, path?: string, init?: RequestInit): Promise<ShopAnswer>
  /** Shows one in the plain dialect. */
  plain(headers: Record<string, string>, path?: string): Promise<ShopAnswer>
  books(): Promise<readonly { readonly outcome: string; readonly amount: string; readonly transaction: string }[]>
}

type Opening = Pick<ShopParts, 'price' | 'maxTimeoutSeconds'> & { readonly store?: Store | undefined }

/** A shop that is paid by transfers. */
export function openShop({ make, newStore }: ShopMaker, schemes: readonly ServerScheme[], opening: Opening): Shop {
  const origin = 'https://shop.test'
  const events: ShopEvent[] = []
  const state = { runs: 0, status: 200 }
  const made = make({
    origin,
    schemes,
    price: opening.price,
    maxTimeoutSeconds: opening.maxTimeoutSeconds,
    store: opening.store ?? newStore(),
    onEvent: (event) => void events.push(event),
    async handler(request) {
      state.runs += 1
      return new Response(`goods ${state.runs} ${await request.text()}`, { status: state.status })
    },
  })
  const ask = (path = '/', init: RequestInit = {}) => made.charge(new Request(`${origin}${path}`, init))
  return {
    made,
    state,
    events,
    ask,
    async offer(path = '/', init: RequestInit = {}) {
      const header = (await ask(path, init)).headers.get('PAYMENT-REQUIRED')
      return only(paymentRequiredHeader.decode(header ?? '').accepts)
    },
    async pay(payment, path = '/', init = {}) {
      const headers = { ...init.headers, 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
      return told(await ask(path, { ...init, headers }))
    },
    plain: async (headers, path = '/') => told(await ask(path, { headers })),
    async books() {
      const sales = []
      for await (const sale of made.books()) sales.push(sale)
      return sales
    },
  }
}

/** Makes the transfer that an offer asks for, and gives what shows it; `asked` is what is transferred instead. */
export async function transfer(by: ClientScheme, offer: PaymentRequirements, asked = offer): Promise<PaymentPayload> {
  const { maxTimeoutSeconds } = offer
  const prepared = await by.prepare(asked, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds })
  await by.send?.(prepared, asked)
  return { x402Version: 2, accepted: offer, payload: { ...prepared.payload } }
}

/** What an answer says: its status, its text, why it is no, and its receipt. */
async function told(response: Response): Promise<ShopAnswer> {
  const text = await response.text()
  const reason = /"error":"([^"]*)"/.exec(text)?.[1]
  const receipt = response.headers.get('PAYMENT-RESPONSE')
  return {
    status: response.status,
    text,
    reason,
    retryAfter: response.headers.get('Retry-After'),
    ...(receipt === null ? {} : { receipt: paymentResponseHeader.decode(receipt) }),
  }
}

function only([offer]: readonly PaymentRequirements[]): PaymentRequirements {
  if (offer === undefined) throw new TypeError('Nothing was offered.')
  return offer
}
