import type { Asset, ClientScheme, Store } from '@flow402x/core'
import * as z from 'zod/mini'
import type { Funds } from '../guard/funds.ts'
import type { PayeeChange } from '../guard/payees.ts'
import type { ReceiptCheck } from '../guard/receipts.ts'
import type { Fetch } from '../http/message.ts'
import type { OfferMemory } from '../http/offer-memory.ts'
import type { Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { ClientEvent } from './event.ts'

/** What a client keeps: its budget, what it signed, and whom it paid. */
export type ClientStore = Pick<Store, 'budgets' | 'ledger' | 'payees'>

/** What `beforeSign` and `approvePayee` answer: `true` lets the payment be signed, everything else refuses it. */
export type Approval = boolean | { readonly refuse: string }

const networkOrAsset = z.string().check(z.regex(/^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}(?:\/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128})?$/))
const price = z.optional(z.string())
const count = (least: number) => z.optional(z.number().check(z.minimum(least), z.maximum(2_147_483_647)))
const callable = <Type>() => z.custom<Type>((value) => typeof value === 'function', 'it is no function')
const having = <Type>(...names: readonly string[]) =>
  z.custom<Type>(
    (value) => typeof value === 'object' && value !== null && names.every((name) => name in value),
    `it needs ${names.join(', ')}`,
  )

/** What may be spent: prices such as `"$1"`; dollars for assets worth a dollar, `caps` by CAIP-19 id for any other. */
export const budgetOptions = z.strictObject({
  /** The most one payment may cost; `"$1"` unless given. */
  perPayment: price,
  /** The most that may ever be spent from this budget; `"$10"` unless given. */
  total: price,
  /** The most of one UTC day. */
  perDay: price,
  /** The most that one origin may ever get. */
  perOrigin: price,
  /** Limits in an asset itself, as plain decimals, by its CAIP-19 id; an asset that is not worth a dollar cannot be paid without. */
  caps: z.optional(z.catchall(z.object({}), z.strictObject({ perPayment: z.string(), total: z.string() }))),
})

/** What may be spent: prices such as `"$1"`; dollars for assets worth a dollar, `caps` by CAIP-19 id for any other. */
export type BudgetOptions = z.infer<typeof budgetOptions>

/** How often and how long the same payment is sent again while its outcome is unknown. */
export const retryOptions = z.strictObject({
  /** How often one payment is sent at most; 5 unless given. */
  attempts: count(1),
  /** After this many milliseconds no further attempt starts; 60000 unless given. */
  totalMs: count(0),
  /** The first pause in milliseconds, doubled each time and jittered; 500 unless given. */
  firstDelayMs: count(0),
  /** The longest pause in milliseconds, also when `Retry-After` asks for more; 10000 unless given. */
  maxDelayMs: count(0),
  /** How long one attempt may wait for an answer to begin, in milliseconds; the runtime's own limit unless given. */
  attemptMs: count(1),
})

/** How often and how long the same payment is sent again while its outcome is unknown. */
export type RetryOptions = z.infer<typeof retryOptions>

/** What a client is made from. */
export const clientOptions = z.strictObject({
  /** The ways it can pay, such as `exactEvmClient(…)`. */
  schemes: z.array(having<ClientScheme>('scheme', 'networks', 'supports', 'prepare')).check(z.minLength(1)),
  budget: z.optional(budgetOptions),
  /** Shared by all clients of one wallet, also across processes and restarts; the memory of this process unless given. */
  store: z.optional(having<ClientStore>('budgets', 'ledger', 'payees')),
  /** Assets beside the known ones. */
  assets: z.optional(z.array(having<Asset>('network', 'address', 'symbol', 'decimals', 'transfer'))),
  /**
   * Networks and assets (by CAIP-2 and CAIP-19 id) in the order they are liked, or a function that picks one of the payable terms; the
   * seller's order unless given.
   */
  prefer: z.optional(z.union([z.array(networkOrAsset), callable<(terms: readonly Terms[]) => Terms>()])),
  /** What the wallet holds, by `heldFunds([evmBalances(…), …])`: what it has too little of is not paid in, and another offer is taken. */
  funds: z.optional(callable<Funds>()),
  /** Checks the receipts that sellers sign, by `signedReceipts({ verifiers })`; unless given they are kept as they come. */
  receipts: z.optional(callable<ReceiptCheck>()),
  /** Asked before each signature; only `true` lets it be made. */
  beforeSign: z.optional(
    callable<(terms: Terms, options: { readonly signal?: AbortSignal | undefined }) => Approval | Promise<Approval>>(),
  ),
  /** Asked when an origin wants to be paid elsewhere, or in another asset, than before; only `true` lets it. */
  approvePayee: z.optional(
    callable<(change: PayeeChange, options: { readonly signal?: AbortSignal | undefined }) => Approval | Promise<Approval>>(),
  ),
  /** Origins whose payees differ with every request, such as marketplaces. */
  dynamicPayees: z.optional(z.array(z.string().check(z.refine(isOrigin, 'it is no origin such as https://shop.example')))),
  /** Told what happens; what it throws is ignored. */
  onEvent: z.optional(callable<(event: ClientEvent) => void>()),
  retry: z.optional(retryOptions),
  /** When an origin whose payments buy nothing is left alone: after `failures` in a row, 5 unless given, for `forMs`, 60000 unless given. */
  breaker: z.optional(z.strictObject({ failures: count(1), forMs: count(0) })),
  /** What routes asked before, by `rememberOffers({ forMs })`, so that they are paid without being asked again; unless given each call asks. */
  offers: z.optional(having<OfferMemory>('recall', 'note', 'forget')),
  /** The longest a signature may stay valid, in seconds; 600 unless given. */
  maxTimeoutSeconds: count(1),
  /** Pays over plain HTTP beyond this machine as well. */
  allowInsecure: z.optional(z.boolean()),
  fetch: z.optional(callable<Fetch>()),
  /** Unix milliseconds. */
  now: z.optional(callable<() => number>()),
  /** That many random bytes. */
  random: z.optional(callable<(length: number) => Uint8Array>()),
})

/** What a client is made from. */
export type ClientOptions = z.infer<typeof clientOptions>

/** The options, checked: unknown names, duplicate schemes and assets without usable decimals are errors here. */
export function checkOptions(options: ClientOptions): ClientOptions {
  const parsed = z.safeParse(clientOptions, options)
  if (!parsed.success) throw clientErrors('client/bad-option', describe(parsed.error))
  const seen = new Set<string>()
  for (const { scheme, networks, send } of parsed.data.schemes) {
    if (send !== undefined && parsed.data.store === undefined) {
      throw clientErrors('client/bad-option', {
        option: 'store',
        why: `${scheme} transfers by itself, and what it transferred is lost with a process that kept it nowhere else: give a store`,
      })
    }
    for (const network of networks) {
      const id = `${scheme} on ${network}`
      if (seen.has(id)) throw clientErrors('client/bad-option', { option: 'schemes', why: `${id} is there twice` })
      seen.add(id)
    }
  }
  return parsed.data
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}

function describe({ issues: [issue] }: z.core.$ZodError): { readonly option: string; readonly why: string } {
  if (issue?.code === 'unrecognized_keys') return { option: [...issue.path, ...issue.keys].join('.'), why: 'there is no such option' }
  return { option: issue?.path.join('.') || 'options', why: issue?.message ?? 'it does not fit' }
}
