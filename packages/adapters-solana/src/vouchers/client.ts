import {
  type Asset,
  type ChannelStore,
  channelBook,
  type PaymentRequirements,
  parseNetwork,
  parsePrice,
  priceInAsset,
} from '@flow402x/core'
import { memoryChannels } from '@flow402x/core/memory'
import { isAddress, isSolana } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { httpRpc } from '../chain/rpc.ts'
import { solanaChain } from '../chain/solana-chain.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../crypto/signer.ts'
import { payableAsset } from '../exact/recipient.ts'
import type { Caller } from '../transfer/channel-call.ts'
import type { Filler } from './filling.ts'

/** What paying over channels of Solana takes. */
export type VoucherClientOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  /** A node of the network that keeps its history: what was settled is read there, and believed of nobody else. */
  readonly rpcUrl: string
  /** Opens, fills and closes channels by transactions of its own, and pays their rent and fees: it needs SOL. */
  readonly signer: SecretKey | SolanaSender
  /** Signs vouchers and nothing else. */
  readonly session?: SecretKey | SolanaSender
  /** The token, one of the first token program. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** Where the books of channels are kept, shared by every process of the wallet; the memory of this process unless given. */
  readonly store?: { readonly channels: ChannelStore }
  /** The most that lies with one receiver and is not spent: "$5" unless told. */
  readonly maxDeposit?: string
  /** The price of computing of its own transactions, in millionths of a lamport for each unit; 10,000 unless told. */
  readonly microLamports?: bigint
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** What a payer over channels works with, whatever their kind; amounts are atomic. */
export type VoucherDesk = Filler &
  Caller & {
    readonly network: string
    readonly asset: Asset
    readonly store: ChannelStore
    /** Whether an offer is of this network and token, and of somebody else. */
    fits(requirements: PaymentRequirements): boolean
  }

/**
 * Opens what a payer over channels works with.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`,
 * `config/not-a-token`, `config/unknown-asset`, `config/bad-price`.
 */
export function voucherDesk(options: VoucherClientOptions): VoucherDesk {
  const { rpcUrl, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, microLamports = 10_000n } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const { asset } = payableAsset(network, options.asset)
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const sender = senderOf(options.signer)
  const store = options.store?.channels ?? memoryChannels()
  return {
    network,
    asset,
    store,
    book: channelBook(store, { side: 'payer' }),
    chain: solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs }),
    rpc: httpRpc({ url: rpcUrl, fetch, timeoutMs }),
    sender,
    maxDeposit: priceInAsset(parsePrice(options.maxDeposit ?? '$5'), asset),
    microLamports,
    random: options.random ?? ((bytes) => crypto.getRandomValues(bytes)),
    clock,
    fits: ({ network: named, asset: token, payTo }: PaymentRequirements) =>
      named === network && token === asset.address && isAddress(payTo) && payTo !== sender.address,
  }
}
