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
import { readerOf } from '../chain/reader.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { solanaChain } from '../chain/solana-chain.ts'
import { type Ed25519, fastestEd25519 } from '../crypto/ed25519.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../crypto/signer.ts'
import { checkMint, checkRecipient, payableAsset } from '../exact/recipient.ts'
import type { RunnerPolicy } from '../vouchers/policy.ts'
import { channelBooks, channelRail } from './receiver.ts'
import { programRunner } from './runner.ts'
import { channelsReason, channelsScheme } from './wire.ts'

/** What being paid over channels of the payment-channels program takes. */
export type ProgramChannelServerOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  /** Who is paid: a wallet with a token account, not that account. */
  readonly payTo: string
  /** Settles and ends channels, and pays the fees of that: it needs SOL and a token account, and gets no money. */
  readonly settler: SecretKey | SolanaSender
  /** The token, one of the first token program. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  readonly rpcUrl: string
  /** The channels' books: durable, since vouchers that are lost are money that is lost; and the lease of who settles. */
  readonly store: Pick<Store, 'channels' | 'journal'>
  /** Seconds that are left to settle once a payer wants to close: 900 unless told. Channels that leave less are not taken. */
  readonly withdrawDelay?: number
  /** What payers are advised to put into a channel, such as "$5"; ten times the price unless told. Less is taken. */
  readonly minDeposit?: string
  /** When what is owed is settled. */
  readonly claims?: RunnerPolicy
  /** The price of computing of its own transactions, in millionths of a lamport for each unit; 10,000 unless told. */
  readonly microLamports?: bigint
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

/**
 * Is paid for streams over channels of the payment-channels program on Solana (FS/1 §12.2): the deposit lies with the program, a tick costs one
 * signature check, and the seller settles himself, without a facilitator. It carries streams and no one-shot payments.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`, `config/bad-price` at creation;
 * `config/wrong-chain`, `config/no-token`, `config/mint-mismatch`, `config/no-token-account` and `solana/rpc` from `start`;
 * `solana/rpc`, `solana/call-failed` from its rail.
 */
export function programChannelServer(options: ProgramChannelServerOptions): ServerScheme {
  const { payTo, rpcUrl, store, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, freshFor = 15_000 } = options
  const { withdrawDelay = 900, microLamports = 10_000n } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  if (!isAddress(payTo)) throw solanaErrors('config/bad-address', { option: 'payTo', address: payTo })
  const { asset, mint } = payableAsset(network, options.asset)
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const minDeposit = options.minDeposit === undefined ? undefined : priceInAsset(parsePrice(options.minDeposit), asset)
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const sender = senderOf(options.settler)
  const caller = { chain: solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs }), rpc, sender, microLamports }
  const terms = { receiver: payTo, mint: asset.address, payee: sender.address, leastGrace: withdrawDelay }
  const books = channelBooks({ store: store.channels, rpc, network, terms, clock })
  const rail = channelRail({ books, network, ed25519: options.ed25519 ?? fastestEd25519(), freshFor, clock })
  const refusal = { reason: channelsReason('payload_type'), message: 'Channels of the program carry streams alone.' }
  return {
    scheme: channelsScheme,
    network,
    asset,
    settlesItself: true,
    flows: ['authorization', 'upfront'],
    async start({ signal } = {}) {
      if (!isLoopback(rpcUrl)) await checkChain(rpc, { network, signal })
      const reader = readerOf(rpc)
      await checkMint(reader, { network, payTo, asset: asset.address, mint }, { signal })
      // The program asks for the account of who ends a channel as well, though nothing goes there.
      for (const owner of [payTo, sender.address])
        await checkRecipient(reader, { network, payTo: owner, asset: asset.address, mint }, { signal })
    },
    requirements({ price, payTo: named = payTo, maxTimeoutSeconds }) {
      if (named !== payTo) throw solanaErrors('config/unchecked-payee', { network, payTo: named })
      const amount = priceInAsset(price, asset)
      const extra = { payee: sender.address, withdrawDelay, minDeposit: `${minDeposit ?? 10n * amount}` }
      return { scheme: channelsScheme, network, amount: `${amount}`, asset: asset.address, payTo, maxTimeoutSeconds, extra }
    },
    describe: ({ amount }) => formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol }),
    key: () => undefined,
    check: () => ({ valid: false, ...refusal }),
    rail,
    vouchers: {
      read: rail.read,
      take: async () => refusal,
      move: rail.move,
      runner: ({ onEvent }) =>
        programRunner({
          ...(onEvent && { onEvent }),
          books,
          store,
          caller,
          network,
          asset,
          receiver: payTo,
          policy: options.claims ?? {},
          clock,
        }),
    },
  }
}
