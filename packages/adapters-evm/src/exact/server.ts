import {
  type Asset,
  assetOf,
  formatPrice,
  fromAtomic,
  type Network,
  type PaymentRequirements,
  parseNetwork,
  priceInAsset,
  type ServerScheme,
  type Verdict,
} from '@flow402x/core'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { quantity } from '../chain/fees.ts'
import { type Confirmations, depthOf, finalBlock } from '../chain/finality.ts'
import { httpRpc } from '../chain/rpc.ts'
import { commitsTo } from './commitment.ts'
import { fundsOf, lookAt } from './look.ts'
import { paymentKey, readPayload, refuseAuthorization, refuseTerms } from './wire.ts'

/** What being paid by `exact` on an EVM network takes. */
export type ExactEvmServerOptions = {
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

/**
 * Is paid by signed EIP-3009 authorizations (x402 `exact` on EVM). Loads no chain library and no curve: signatures are
 * the facilitator's part, amounts, payee and window are checked here as well.
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/unknown-asset`, `config/foreign-asset`,
 * `config/no-authorizations`, `config/bad-address`, `config/bad-rpc-url`; from `start` `config/wrong-chain`, `evm/rpc`; from `requirements` also those of `priceInAsset`.
 */
export function exactEvmServer(options: ExactEvmServerOptions): ServerScheme {
  const network = parseNetwork(options.network)
  const chainId = chainIdOf(network)
  if (chainId === undefined) throw evmErrors('config/not-evm', { network })
  const { asset, domain } = payableAsset(network, options.asset)
  const payee = payeeOf('payTo', options.payTo)
  return {
    scheme: 'exact',
    network,
    flows: ['authorization', 'upfront'],
    requirements({ price, payTo, maxTimeoutSeconds, flow }): PaymentRequirements {
      return {
        scheme: 'exact',
        network,
        amount: priceInAsset(price, asset).toString(),
        asset: asset.address,
        payTo: payTo === undefined ? payee : payeeOf('payTo of the route', payTo),
        maxTimeoutSeconds,
        // The default flow is never written (wire.md §5.1).
        extra: { ...domain, ...(flow === 'upfront' ? { paymentFlow: flow } : {}) },
      }
    },
    describe({ amount }) {
      return formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol })
    },
    key: (payment) => (payment.accepted.network === network ? paymentKey(payment) : undefined),
    check(submission, { now }): Verdict {
      const { payment, requirements } = submission
      const wrongTerms = refuseTerms(submission, network)
      if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
      const payload = readPayload(payment)
      if (payload === undefined) return { valid: false, reason: 'invalid_payload' }
      const { authorization } = payload
      const refusal = refuseAuthorization(authorization, { requirements, now })
      return refusal === undefined ? { valid: true, payer: authorization.from } : { valid: false, ...refusal, payer: authorization.from }
    },
    commits(payment, binding) {
      const nonce = readPayload(payment)?.authorization.nonce
      return nonce !== undefined && commitsTo(nonce, binding)
    },
    ...(options.rpcUrl === undefined ? {} : chainSight({ ...options, rpcUrl: options.rpcUrl }, { network, chainId })),
  }
}

type SightOptions = ExactEvmServerOptions & { readonly rpcUrl: string }

function chainSight(
  { rpcUrl: url, fetch = globalThis.fetch, timeoutMs = 10_000, confirmations }: SightOptions,
  { network, chainId }: { readonly network: Network; readonly chainId: bigint },
): Required<Pick<ServerScheme, 'start' | 'look' | 'funds'>> {
  const rpc = httpRpc({ url, fetch, timeoutMs })
  const final = () => finalBlock(rpc, confirmations ?? depthOf(network))
  return {
    async start({ signal } = {}) {
      const answered = await rpc.ask({ method: 'eth_chainId', params: [], result: quantity }, { signal })
      if (answered !== chainId) throw evmErrors('config/wrong-chain', { network, host: rpc.host, answered: answered.toString() })
    },
    look: (submission, given) => lookAt(submission, { rpc, final, ...given }),
    funds: (submission, given) => fundsOf(submission, { rpc, ...given }),
  }
}

function payableAsset(network: string, asset: string | Asset | undefined) {
  const found = typeof asset === 'object' ? asset : assetOf(network, asset)
  const { address, symbol, transfer, eip712 } = found
  if (found.network !== network) throw evmErrors('config/foreign-asset', { asset: symbol, network: found.network, wanted: network })
  if (!isAddress(address)) throw evmErrors('config/bad-address', { option: `The address of ${symbol}`, address })
  if (transfer !== 'eip3009' || eip712 === undefined) throw evmErrors('config/no-authorizations', { network, asset: symbol })
  return { asset: found, domain: { name: eip712.name, version: eip712.version } }
}

function payeeOf(option: string, address: string): string {
  if (!isPayable(address)) throw evmErrors('config/bad-address', { option, address })
  return address
}
