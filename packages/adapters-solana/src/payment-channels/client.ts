import {
  type Asset,
  type ChannelStore,
  type ClientScheme,
  channelBook,
  type PaymentRequirements,
  parseNetwork,
  parsePrice,
  priceInAsset,
} from '@flow402x/core'
import { memoryChannels } from '@flow402x/core/memory'
import * as z from 'zod/mini'
import { isAddress, isSolana } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { httpRpc } from '../chain/rpc.ts'
import { solanaChain } from '../chain/solana-chain.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../crypto/signer.ts'
import { payableAsset } from '../exact/recipient.ts'
import { callChannel } from '../transfer/channel-call.ts'
import { exactLanes, exactWindows } from '../vouchers/payer.ts'
import { type ChannelDesk, channelPayer, channelsFor } from './payer.ts'
import type { ChannelSeeds } from './program.ts'
import { leavingOf } from './settlement.ts'
import { channelExtra, channelsScheme } from './wire.ts'

/** What paying over channels of the payment-channels program takes. */
export type ProgramChannelClientOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  readonly rpcUrl: string
  /** Opens, fills and closes channels by transactions of its own, and pays their rent and fees: it needs SOL. */
  readonly signer: SecretKey | SolanaSender
  /** Signs vouchers and nothing else; `signer` itself unless given. */
  readonly session?: SecretKey | SolanaSender
  /** The token, one of the first token program. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** Where the books of channels are kept, shared by every process of the wallet; the memory of this process unless given. */
  readonly store?: { readonly channels: ChannelStore }
  /** Channels of this wallet that are not in its books: opened before those began, or by another tool. */
  readonly channels?: readonly ChannelSeeds[]
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

/** Pays over channels of the program, and gets out of them. */
export type ProgramChannelClient = ClientScheme & {
  /**
   * Does what its payer can do now to get out of the channels of an offer's receiver: he asks to close them, and once the grace period is
   * over takes what was not settled. The signatures of what was sent: nothing where he has to wait, or has it all.
   */
  leave(requirements: PaymentRequirements, options?: { readonly signal?: AbortSignal }): Promise<readonly string[]>
}

/**
 * Pays streams over channels of the payment-channels program on Solana (FS/1 §12.2): one deposit that lies with the program, then vouchers
 * that cost no fee. Never more than one window beyond what was delivered is signed.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`,
 * `config/not-a-token`, `config/unknown-asset`, `config/bad-price` at creation; from its functions `solana/unsupported-terms`,
 * `solana/deposit-cap`, `solana/no-sol`, `solana/not-filled`, `solana/channel-busy`, those of the chain and store.
 */
export function programChannelClient(options: ProgramChannelClientOptions): ProgramChannelClient {
  const { rpcUrl, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, microLamports = 10_000n } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const { asset } = payableAsset(network, options.asset)
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const sender = senderOf(options.signer)
  const session = options.session === undefined ? sender : senderOf(options.session)
  const store = options.store?.channels ?? memoryChannels()
  const desk: ChannelDesk = {
    store,
    book: channelBook(store, { side: 'payer' }),
    chain: solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs }),
    rpc: httpRpc({ url: rpcUrl, fetch, timeoutMs }),
    sender,
    session: async () => session,
    known: (options.channels ?? []).map(({ salt, openSlot, ...parties }) => ({ ...parties, salt: `${salt}`, openSlot: `${openSlot}` })),
    maxDeposit: priceInAsset(parsePrice(options.maxDeposit ?? '$5'), asset),
    microLamports,
    random: options.random ?? ((bytes) => crypto.getRandomValues(bytes)),
    clock,
  }
  const payer = channelPayer(desk)
  return {
    scheme: channelsScheme,
    networks: [network],
    supports: ({ scheme, network: named, asset: token, payTo, extra }) =>
      scheme === channelsScheme &&
      named === network &&
      token === asset.address &&
      isAddress(payTo) &&
      payTo !== sender.address &&
      z.safeParse(channelExtra, extra).success,
    lanes: exactLanes(payer),
    ...exactWindows(payer),
    async leave(requirements, { signal } = {}) {
      const now = BigInt(Math.floor(clock() / 1000))
      const sent: string[] = []
      for (const { id, stored } of await channelsFor(desk, requirements, { signal })) {
        const instructions = leavingOf({ channel: id, stored, now })
        if (instructions.length > 0) sent.push(await callChannel(desk, { id, instructions, signal }))
      }
      return sent
    },
  }
}
