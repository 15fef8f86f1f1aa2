import {
  type Asset,
  assetOf,
  type Extension,
  formatPrice,
  fromAtomic,
  type Network,
  type PaymentFlow,
  type PaymentKey,
  type PaymentPayload,
  type PaymentRequirements,
  parseNetwork,
  priceInAsset,
  type ServerScheme,
  type Sighting,
  type Submission,
  type SupportedKind,
  type Verdict,
} from '@flow402x/core'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { type Confirmations, depthOf, finalBlock } from '../chain/finality.ts'
import { evmReader } from '../chain/reader.ts'
import type { Hex } from '../crypto/bytes.ts'
import { commitsTo } from './commitment.ts'
import { balanceOf, type LookOptions } from './look.ts'

/** What being paid on an EVM network takes, whatever the scheme. */
export type EvmSellerOptions = {
  /** A CAIP-2 id, or a friendly name such as "base". */
  readonly network: string
  /** Who is paid; a route may name another. */
  readonly payTo: string
  /** The token: a symbol or address of the table, or all facts of one that is not in it. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /**
   * A JSON-RPC node of the network, by which the seller sees for itself what was paid. Without it the facilitator must tell what
   * became of a payment, and is believed up to the server's `trust`.
   */
  readonly rpcUrl?: string
  /** When a block is final, before which nothing is called unpaid: at a depth that suits the network unless told. */
  readonly confirmations?: Confirmations
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
}

/** What a payment says of itself, whatever it was signed by: `nonce` is 32 bytes of hex, which may commit to a request (M2). */
export type Read = { readonly payer: Hex; readonly nonce: string }

/** One way to move a token for one scheme, as its seller sees it. */
export type SellerWay = {
  readonly scheme: string
  readonly flows: readonly PaymentFlow[]
  readonly extensions?: readonly Extension[]
  /** What its requirements say in `extra`. */
  extra(kind: SupportedKind | undefined): Readonly<Record<string, unknown>>
  key(payment: PaymentPayload): PaymentKey | undefined
  check(submission: Submission, options: { readonly network: Network; readonly now: number }): Verdict
  read(payment: PaymentPayload): Read | undefined
  look?(submission: Submission, options: LookOptions): Promise<Sighting>
  readonly settlement?: NonNullable<ServerScheme['settlement']>
}

/**
 * A seller on an EVM network. Loads no chain library and no curve: signatures are the facilitator's part, amounts, payee and window
 * are checked here as well.
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/unknown-asset`, `config/foreign-asset`, `config/bad-address`,
 * `config/bad-rpc-url`, and those of `wayOf`; from `start` `config/wrong-chain`, `evm/rpc`; from `requirements` also those of
 * `priceInAsset`.
 */
export function evmSeller(options: EvmSellerOptions, wayOf: (asset: Asset) => SellerWay): ServerScheme {
  const network = parseNetwork(options.network)
  if (chainIdOf(network) === undefined) throw evmErrors('config/not-evm', { network })
  const asset = assetHere(network, options.asset)
  const way = wayOf(asset)
  const payee = payeeOf('payTo', options.payTo)
  const { scheme, flows, extensions } = way
  return {
    scheme,
    network,
    asset,
    flows,
    ...(extensions === undefined ? {} : { extensions }),
    requirements({ price, kind, payTo, maxTimeoutSeconds, flow }): PaymentRequirements {
      return {
        scheme,
        network,
        amount: priceInAsset(price, asset).toString(),
        asset: asset.address,
        payTo: payTo === undefined ? payee : payeeOf('payTo of the route', payTo),
        maxTimeoutSeconds,
        // The default flow is never written (wire.md §5.1).
        extra: { ...way.extra(kind), ...(flow === 'upfront' ? { paymentFlow: flow } : {}) },
      }
    },
    describe({ amount }) {
      return formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol })
    },
    key: (payment) => (payment.accepted.network === network ? way.key(payment) : undefined),
    check: (submission, { now }) => way.check(submission, { network, now }),
    commits(payment, binding) {
      const read = way.read(payment)
      return read !== undefined && commitsTo(read.nonce, binding)
    },
    ...(way.settlement === undefined ? {} : { settlement: way.settlement }),
    ...(options.rpcUrl === undefined ? {} : chainSight({ ...options, rpcUrl: options.rpcUrl }, { network, way })),
  }
}

type SightOptions = EvmSellerOptions & { readonly rpcUrl: string }

function chainSight(
  { rpcUrl, confirmations, ...reading }: SightOptions,
  { network, way }: { readonly network: Network; readonly way: SellerWay },
): Pick<ServerScheme, 'start' | 'look' | 'funds'> {
  const { rpc, start } = evmReader({ ...reading, network, rpcUrl })
  const final = () => finalBlock(rpc, confirmations ?? depthOf(network))
  const { look } = way
  return {
    start,
    ...(look === undefined ? {} : { look: (submission, given) => look(submission, { rpc, final, ...given }) }),
    async funds({ payment, requirements: { asset } }, given) {
      const read = way.read(payment)
      return read === undefined || !isAddress(asset) ? undefined : balanceOf({ token: asset, of: read.payer }, { rpc, ...given })
    },
  }
}

/** The asset of a network that is meant. Errors: `config/unknown-asset`, `config/foreign-asset`, `config/bad-address`. */
export function assetHere(network: string, asset: string | Asset | undefined): Asset {
  const found = typeof asset === 'object' ? asset : assetOf(network, asset)
  const { address, symbol } = found
  if (found.network !== network) throw evmErrors('config/foreign-asset', { asset: symbol, network: found.network, wanted: network })
  if (!isAddress(address)) throw evmErrors('config/bad-address', { option: `The address of ${symbol}`, address })
  return found
}

function payeeOf(option: string, address: string): string {
  if (!isPayable(address)) throw evmErrors('config/bad-address', { option, address })
  return address
}
