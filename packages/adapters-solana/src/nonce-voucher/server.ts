import {
  type Asset,
  formatPrice,
  fromAtomic,
  isLoopback,
  parseNetwork,
  parsePrice,
  priceInAsset,
  type ServerScheme,
  type Store,
} from '@flow402x/core'
import { isAddress, isSolana } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { system } from '../chain/programs.ts'
import { readerOf } from '../chain/reader.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { type Ed25519, fastestEd25519 } from '../crypto/ed25519.ts'
import { checkMint, checkRecipient, payableAsset } from '../exact/recipient.ts'
import type { RunnerPolicy } from '../vouchers/policy.ts'
import { nonceBooks } from './receiver/books.ts'
import { railOf } from './receiver/rail.ts'
import { nonceRunner } from './receiver/runner.ts'
import { nonceReason, nonceScheme } from './wire.ts'

/** What being paid over channels of nonces takes. */
export type NonceVoucherServerOptions = {
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
  /**
   * Milliseconds for which what the chain said of a channel is believed: 15,000 unless told. Its payer may revoke at any time, and what he
   * was served since it was last settled is lost then.
   */
  readonly freshFor?: number
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** The signatures' implementation; the fastest that runs here unless told. */
  readonly ed25519?: Ed25519
}

/**
 * Is paid for streams over channels of nonces on Solana (FS/1 §12.3), with native programs alone: a tick costs one signature check, and
 * what was delivered is settled by the facilitator, who is the nonces' authority. It carries streams and no one-shot payments.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-rpc-url`, `config/bad-price` at creation; `config/wrong-chain`, `config/no-token`,
 * `config/mint-mismatch`, `config/no-token-account` and `solana/rpc` from `start`; `config/no-nonce-authority` from `requirements`;
 * `solana/channel-behind`, `solana/rpc`, `solana/call-failed` from its rail.
 */
export function nonceVoucherServer(options: NonceVoucherServerOptions): ServerScheme {
  const { payTo, rpcUrl, store, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, freshFor = 15_000 } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  if (!isAddress(payTo)) throw solanaErrors('config/bad-address', { option: 'payTo', address: payTo })
  const { asset, mint } = payableAsset(network, options.asset)
  // Multisigs and approvals of Token-2022 may come with rules of a mint's own.
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const minDeposit = options.minDeposit === undefined ? undefined : priceInAsset(parsePrice(options.minDeposit), asset)
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const { decimals } = asset
  const books = nonceBooks({ store: store.channels, rpc, network, decimals, clock })
  const rail = railOf({ books, network, decimals, ed25519: options.ed25519 ?? fastestEd25519(), freshFor, clock })
  const refusal = { reason: nonceReason('payload_type'), message: 'Channels of nonces carry streams alone.' }
  return {
    scheme: nonceScheme,
    network,
    asset,
    flows: ['authorization', 'upfront'],
    async start({ signal } = {}) {
      if (!isLoopback(rpcUrl)) await checkChain(rpc, { network, signal })
      const recipient = { network, payTo, asset: asset.address, mint }
      await checkMint(readerOf(rpc), recipient, { signal })
      await checkRecipient(readerOf(rpc), recipient, { signal })
    },
    requirements({ price, payTo: named = payTo, maxTimeoutSeconds, kind }) {
      if (named !== payTo) throw solanaErrors('config/unchecked-payee', { network, payTo: named })
      const nonceAuthority = kind === undefined ? system.address : kind.extra?.nonceAuthority
      if (typeof nonceAuthority !== 'string' || !isAddress(nonceAuthority)) throw solanaErrors('config/no-nonce-authority', { network })
      const amount = priceInAsset(price, asset)
      const extra = { nonceAuthority, minDeposit: `${minDeposit ?? 10n * amount}` }
      return { scheme: nonceScheme, network, amount: `${amount}`, asset: asset.address, payTo, maxTimeoutSeconds, extra }
    },
    describe: ({ amount }) => formatPrice({ amount: fromAtomic(BigInt(amount), decimals), symbol: asset.currency ?? asset.symbol }),
    key: () => undefined,
    check: () => ({ valid: false, ...refusal }),
    rail,
    vouchers: {
      read: rail.read,
      take: async () => refusal,
      move: rail.move,
      runner: (given) => nonceRunner({ ...given, books, store, network, asset, policy: options.claims ?? {}, clock }),
    },
  }
}
