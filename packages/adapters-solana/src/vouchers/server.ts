import {
  type Asset,
  formatPrice,
  fromAtomic,
  isLoopback,
  parseNetwork,
  parsePrice,
  priceInAsset,
  type RequirementsInput,
  type ServerScheme,
  type Store,
  type Vouchers,
} from '@flow402x/core'
import type { Rail } from '@flow402x/core/stream'
import { isAddress, isSolana } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { readerOf } from '../chain/reader.ts'
import { checkChain, httpRpc, type Rpc } from '../chain/rpc.ts'
import { type Ed25519, fastestEd25519 } from '../crypto/ed25519.ts'
import { checkMint, checkRecipient, payableAsset } from '../exact/recipient.ts'
import type { RunnerPolicy } from './policy.ts'

/** What being paid over channels of Solana takes. */
export type VoucherServerOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  /** Who is paid: a wallet with a token account, not that account. */
  readonly payTo: string
  /** The token, one of the first token program: a symbol or address of the table, or all facts of one that is not in it. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** A node of the network that keeps its history: what channels hold and what was settled over them is read there. */
  readonly rpcUrl: string
  /** The channels' books: durable, since vouchers that are lost are money that is lost; and the lease of who settles. */
  readonly store: Pick<Store, 'channels' | 'journal'>
  /** What payers are advised to put into a channel, such as "$5"; ten times the price unless told. Less is taken. */
  readonly minDeposit?: string
  /** When what is owed is settled. */
  readonly claims?: RunnerPolicy
  /** Milliseconds for which what the chain said of a channel is believed: 15,000 unless told. */
  readonly freshFor?: number
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** The signatures' implementation; the fastest that runs here unless told. */
  readonly ed25519?: Ed25519
}

/** What a receiver over channels works with, whatever their kind. */
export type VoucherSeller = Required<
  Pick<VoucherServerOptions, 'payTo' | 'rpcUrl' | 'store' | 'freshFor' | 'timeoutMs' | 'fetch' | 'clock' | 'ed25519'>
> & {
  readonly network: string
  readonly asset: Asset
  readonly rpc: Rpc
  readonly policy: RunnerPolicy
  /** The scheme that carries streams over these channels, and no one-shot payments. */
  sells(streams: SoldStreams): ServerScheme
}

/** What makes one kind of channels a scheme. */
export type SoldStreams = {
  readonly scheme: string
  readonly refusal: { readonly reason: string; readonly message: string }
  readonly rail: Rail
  readonly runner: Vouchers['runner']
  /** Whoever else needs a token account. */
  readonly alsoPaid?: readonly string[]
  /** What an offer says beside its price. */
  extra(input: RequirementsInput): Readonly<Record<string, unknown>>
}

/**
 * Opens what a receiver over channels works with.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-rpc-url`, `config/bad-price`; those of `start` and `requirements` are the scheme's.
 */
export function voucherSeller(options: VoucherServerOptions): VoucherSeller {
  const { payTo, rpcUrl, store, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, freshFor = 15_000 } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  if (!isAddress(payTo)) throw solanaErrors('config/bad-address', { option: 'payTo', address: payTo })
  const { asset, mint } = payableAsset(network, options.asset)
  // Multisigs and approvals of Token-2022 may come with rules of a mint's own.
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const minDeposit = options.minDeposit === undefined ? undefined : priceInAsset(parsePrice(options.minDeposit), asset)
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const ed25519 = options.ed25519 ?? fastestEd25519()
  return {
    network,
    payTo,
    asset,
    rpcUrl,
    rpc,
    store,
    freshFor,
    timeoutMs,
    fetch,
    clock,
    ed25519,
    policy: options.claims ?? {},
    sells: ({ scheme, refusal, rail, runner, alsoPaid = [], extra }) => ({
      scheme,
      network,
      asset,
      flows: ['authorization', 'upfront'],
      async start({ signal } = {}) {
        if (!isLoopback(rpcUrl)) await checkChain(rpc, { network, signal })
        const [reader, recipient] = [readerOf(rpc), { network, payTo, asset: asset.address, mint }]
        await checkMint(reader, recipient, { signal })
        for (const owner of [payTo, ...alsoPaid]) await checkRecipient(reader, { ...recipient, payTo: owner }, { signal })
      },
      requirements(input) {
        const { price, payTo: named = payTo, maxTimeoutSeconds } = input
        if (named !== payTo) throw solanaErrors('config/unchecked-payee', { network, payTo: named })
        const amount = priceInAsset(price, asset)
        const said = { ...extra(input), minDeposit: `${minDeposit ?? 10n * amount}` }
        return { scheme, network, amount: `${amount}`, asset: asset.address, payTo, maxTimeoutSeconds, extra: said }
      },
      describe: ({ amount }) => formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol }),
      key: () => undefined,
      check: () => ({ valid: false, ...refusal }),
      rail,
      vouchers: { read: rail.read, take: async () => refusal, move: rail.move, runner },
    }),
  }
}
