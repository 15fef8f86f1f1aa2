import { memoryLedger } from '../memory/ledger.ts'
import { defaultRetention } from '../memory/retention.ts'
import type { Asset } from '../protocol/asset.ts'
import type { LedgerStore } from '../store/payer.ts'
import { defineTokenAdapter, type PaymentEstimate, type TokenAdapter } from './adapter.ts'
import { tokenErrors } from './errors.ts'
import { type Transfer, type TransferRail, transfersOf } from './transfers.ts'

type Abortable = { readonly signal?: AbortSignal | undefined }

/**
 * How a transaction stands to what it shall have paid: `unknown` to the chain, another than that or failed, right and not yet deep
 * enough, or right for good.
 */
export type Standing = 'unknown' | 'other' | 'shallow' | 'valid'

/** What a transaction shall have paid, to whom: any amount above zero unless told, from anybody unless told. */
export type Owed = { readonly recipient: string; readonly amount?: bigint | undefined; readonly sender?: string | undefined }

/** One token as a chain keeps it. */
export interface TokenChain {
  readonly asset: Asset
  /** How its wallet pays; absent where nobody signs. */
  readonly rail?: (TransferRail & { cost(transfer: Transfer, options: Abortable): Promise<Omit<PaymentEstimate, 'sender'>> }) | undefined
  /** A recipient in its one spelling, if it can be paid by this sender. Errors: `token/bad-recipient`. */
  recipient(text: string, sender: string): string
  standing(transaction: string, owed: Owed, options: Abortable): Promise<Standing>
  held(address: string, options: Abortable): Promise<bigint>
}

/** What a wallet's token adapter is made with, whatever the chain. */
export type WalletOptions = {
  /** Whom payments are looked up for where no recipient is named; the signer unless told. */
  readonly payTo?: string
  /** Remembers what was paid, over restarts and processes; the memory of this process unless given. */
  readonly store?: { readonly ledger: LedgerStore }
  /** How long one call waits for the chain, in milliseconds; 60,000 unless told. */
  readonly waitMs?: number
  /** How long it waits between two looks, in milliseconds; 500 unless told. */
  readonly pollMs?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** The token adapter of a wallet on one chain. Errors of its methods: `token/…` and those of the chain. */
export function walletTokenAdapter(chain: TokenChain, options: WalletOptions): TokenAdapter {
  const { asset, rail } = chain
  const { payTo = rail?.sender, store, waitMs = 60_000, pollMs = 500, clock: now = Date.now } = options
  const name = `${asset.symbol} on ${asset.network}`
  const transfers = rail && transfersOf({ rail, ledger: store?.ledger ?? memoryLedger(defaultRetention), waitMs, pollMs, now })
  const payer = () => {
    if (rail !== undefined && transfers !== undefined) return { rail, transfers }
    throw tokenErrors('token/no-signer', { token: name })
  }
  const transferTo = (recipient: string, amount: bigint): Transfer => ({
    asset: asset.address,
    recipient: chain.recipient(recipient, payer().rail.sender),
    amount,
  })
  return defineTokenAdapter({
    ...asset,
    createPayment: async (recipient, amount, given) => await payer().transfers.pay(transferTo(recipient, amount), given),
    async validatePayment(transaction, { recipient = payTo, amount, sender, signal }) {
      if (recipient === undefined) throw tokenErrors('token/no-recipient', { token: name })
      const look = () => chain.standing(transaction, { recipient, amount, sender }, { signal })
      return await isValid(look, { transaction, waitMs, pollMs, signal })
    },
    getBalance: (address, given) => chain.held(address, given),
    async estimatePayment(recipient, amount, given) {
      const { rail: own } = payer()
      return { sender: own.sender, ...(await own.cost(transferTo(recipient, amount), given)) }
    },
  })
}

// How far behind a node of a balancer may be: so long nothing is called unknown (H30).
const lagMs = 3_000

type Looking = Abortable & { readonly transaction: string; readonly waitMs: number; readonly pollMs: number }

/** Looks until the transaction is valid or something else. Errors: `token/unconfirmed`. */
async function isValid(look: () => Promise<Standing>, { transaction, waitMs, pollMs, signal }: Looking): Promise<boolean> {
  for (let waited = 0; ; waited += pollMs) {
    const standing = await look()
    if (standing === 'valid' || standing === 'other') return standing === 'valid'
    if (standing === 'unknown' && waited >= Math.min(waitMs, lagMs)) return false
    if (standing === 'shallow' && waited >= waitMs) throw tokenErrors('token/unconfirmed', { transaction })
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    signal?.throwIfAborted()
  }
}
