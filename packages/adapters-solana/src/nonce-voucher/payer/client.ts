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
import { isAddress, isSolana } from '../../chain/address.ts'
import { solanaErrors } from '../../chain/errors.ts'
import { httpRpc } from '../../chain/rpc.ts'
import { solanaChain } from '../../chain/solana-chain.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../../crypto/signer.ts'
import { payableAsset } from '../../exact/recipient.ts'
import { callChannel } from '../../transfer/channel-call.ts'
import { exactLanes, exactWindows } from '../../vouchers/payer.ts'
import { closingOf } from '../setup.ts'
import { nonceScheme } from '../wire.ts'
import { channelFor, givenSession, type NonceDesk, noncePayer, type Session, sessionOf, sync } from './desk.ts'

/** What paying over channels of nonces takes. */
export type NonceVoucherClientOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  /** A node of the network that keeps its history: what was settled is read there, and believed of nobody else. */
  readonly rpcUrl: string
  /** Opens and fills channels by transactions of its own, and pays their rent and fees: it needs SOL. */
  readonly signer: SecretKey | SolanaSender
  /** Signs vouchers and nothing else; one that comes back with `signer` unless given. */
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

/** Pays over channels of nonces, and takes back what is left in one. */
export type NonceVoucherClient = ClientScheme & {
  /**
   * Ends the channel of an offer's receiver: nothing is taken out of it any more, and what is left comes back with the rent of its purse; the
   * signature of that transaction, or nothing where there is no such channel. What was delivered and not settled yet is not paid then: an
   * honest payer closes after his receiver has settled.
   */
  close(requirements: PaymentRequirements, options?: { readonly signal?: AbortSignal }): Promise<string | undefined>
}

/**
 * Pays streams over channels of nonces on Solana (FS/1 §12.3): one deposit into a purse of the payer's own, then vouchers that cost no
 * fee. Never more than one window beyond what was delivered is signed, and after each settlement nothing before the chain was read.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`,
 * `config/not-a-token`, `config/unknown-asset`, `config/bad-price` at creation; from its functions `solana/unsupported-terms`,
 * `solana/deposit-cap`, `solana/no-sol`, `solana/not-filled`, `solana/channel-busy`, `solana/channel-behind`, those of the chain and store.
 */
export function nonceVoucherClient(options: NonceVoucherClientOptions): NonceVoucherClient {
  const { rpcUrl, fetch = globalThis.fetch, timeoutMs = 10_000, clock = Date.now, microLamports = 10_000n } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const { asset } = payableAsset(network, options.asset)
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const sender = senderOf(options.signer)
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  let session: Promise<Session> | undefined
  const desk: NonceDesk = {
    book: channelBook((options.store ?? { channels: memoryChannels() }).channels, { side: 'payer' }),
    chain: solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs }),
    rpc,
    sender,
    session() {
      session ??= options.session === undefined ? sessionOf(sender) : givenSession(senderOf(options.session))
      return session
    },
    decimals: asset.decimals,
    maxDeposit: priceInAsset(parsePrice(options.maxDeposit ?? '$5'), asset),
    microLamports,
    random: options.random ?? ((bytes) => crypto.getRandomValues(bytes)),
    clock,
  }
  const payer = noncePayer(desk)
  return {
    scheme: nonceScheme,
    networks: [network],
    supports: ({ scheme, network: named, asset: token, payTo, extra }) =>
      scheme === nonceScheme &&
      named === network &&
      token === asset.address &&
      isAddress(payTo) &&
      payTo !== sender.address &&
      typeof extra?.nonceAuthority === 'string' &&
      isAddress(extra.nonceAuthority),
    lanes: exactLanes(payer),
    ...exactWindows(payer),
    async close(requirements, { signal } = {}) {
      const channel = await channelFor(desk, requirements)
      const row = await sync(desk, channel, { signal })
      if (row === undefined) return undefined
      const amount = row.funds.balance - row.funds.claimed
      return await callChannel(desk, { id: row.id, instructions: closingOf(channel, { amount, decimals: desk.decimals }), signal })
    },
  }
}
