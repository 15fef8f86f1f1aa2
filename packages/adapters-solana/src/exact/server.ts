import {
  type Asset,
  formatPrice,
  fromAtomic,
  isLoopback,
  type PaymentRequirements,
  parseNetwork,
  priceInAsset,
  type ServerScheme,
  type Submission,
  type SupportedKind,
} from '@flow402x/core'
import { addressBytes, isAddress, isSolana, sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import { system } from '../chain/programs.ts'
import { type RecentBlockhash, readerOf, type SolanaReader } from '../chain/reader.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import type { Transaction } from '../chain/transaction.ts'
import { isRefusal, readLayout, refuseTransfer } from './layout.ts'
import { createSight } from './look.ts'
import { checkMint, checkRecipient, payableAsset } from './recipient.ts'
import { ignoredExtra, type MintFacts, payerOf, paymentKey, type Refusal, readExtra, readTransaction, refuseTerms } from './wire.ts'

/** What being paid by `exact` on Solana takes. */
export type ExactSolanaServerOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  /** Who is paid: a wallet with a token account, not that account. */
  readonly payTo: string
  /** Further wallets that routes name as payees. */
  readonly payees?: readonly string[]
  /** The token: a symbol or address of the table, or all facts of one that is not in it. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /**
   * A node of the network that keeps its history: the payees' accounts are looked up there at start, offers carry its blockhash, and it
   * tells what was paid.
   */
  readonly rpcUrl: string
  /** A text that every payment carries in a memo, at most 256 bytes of UTF-8. */
  readonly memo?: string
  /** Lets pass what smart wallets wrap (wire.md §14): the facilitator alone reads those then. Off unless told. */
  readonly smartWallets?: boolean
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/**
 * Is paid by signed transfers whose fee the facilitator pays (x402 `exact` on Solana, wire.md §14). Signatures and the chain are the
 * facilitator's part; payee, mint, amount and memo of what was signed are checked here as well.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-memo`, `config/bad-rpc-url` at creation; `config/wrong-chain`, `config/no-token`,
 * `config/mint-mismatch`, `config/no-token-account` and `solana/rpc` from `start`; `solana/rpc` and `solana/call-failed` from `look` and
 * `funds`; `config/no-fee-payer`, `config/unchecked-payee` and those of `priceInAsset` from `requirements`.
 */
export function exactSolanaServer(options: ExactSolanaServerOptions): ServerScheme {
  const { rpcUrl, memo, smartWallets = false, clock = Date.now, fetch, timeoutMs = 10_000 } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  if (memo !== undefined && new TextEncoder().encode(memo).length > mostMemoBytes)
    throw solanaErrors('config/bad-memo', { most: mostMemoBytes })
  const { asset, mint, told } = payableAsset(network, options.asset)
  const payees = [options.payTo, ...(options.payees ?? [])].map((payTo) => payeeOf('payTo', payTo))
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const reader = readerOf(rpc)
  const recent = recentBlockhashes(reader, clock)
  return {
    scheme: 'exact',
    network,
    asset,
    flows: ['authorization', 'upfront'],
    // The payment's own fee payer counts, for replicas of a facilitator may each name another of its signers (H59).
    ignoredExtra: [...ignoredExtra, 'feePayer'],
    async start({ signal } = {}) {
      if (!isLoopback(rpcUrl)) await checkChain(rpc, { network, signal })
      await Promise.all(
        payees.map(async (payTo) => {
          const recipient = { network, payTo, asset: asset.address, mint }
          await checkMint(reader, recipient, { signal })
          await checkRecipient(reader, recipient, { signal })
        }),
      )
      await recent.refresh(signal)
    },
    ...createSight(rpc, { mintOf: (address) => (address === asset.address ? mint : undefined), clock }),
    revision: () => recent.current()?.blockhash,
    requirements({ price, payTo = options.payTo, maxTimeoutSeconds, flow, kind }): PaymentRequirements {
      if (!payees.includes(payeeOf('payTo of the route', payTo))) throw solanaErrors('config/unchecked-payee', { network, payTo })
      // A route is checked before anything may be asked.
      const known = kind === undefined ? undefined : recent.current()
      const extra = {
        feePayer: feePayerOf(kind, network),
        ...told,
        ...(memo === undefined ? {} : { memo }),
        ...(known === undefined ? {} : { recentBlockhash: known.blockhash, lastValidBlockHeight: `${known.lastValidBlockHeight}` }),
        // The default flow is never written (wire.md §5.1).
        ...(flow === 'upfront' ? { paymentFlow: flow } : {}),
      }
      const amount = priceInAsset(price, asset).toString()
      return { scheme: 'exact', network, amount, asset: asset.address, payTo, maxTimeoutSeconds, extra }
    },
    describe: ({ amount }) => formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol }),
    key: (payment) => (payment.accepted.network === network ? paymentKey(payment, { now: clock() / 1000 }) : undefined),
    check(submission) {
      const { payment } = submission
      const wrongTerms = refuseTerms(submission, network)
      if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
      const transaction = readTransaction(payment)
      const payer = transaction && payerOf(transaction)
      if (transaction === undefined) return { valid: false, reason: 'invalid_exact_svm_payload_transaction_could_not_be_decoded' }
      if (payer === undefined) return { valid: false, reason: 'invalid_exact_svm_payload_excessive_signers' }
      const refusal = refuseSigned(transaction, { submission, mint, smartWallets })
      return refusal === undefined ? { valid: true, payer: encodeBase58(payer) } : { valid: false, ...refusal, payer: encodeBase58(payer) }
    },
  }
}

const mostMemoBytes = 256

type Checking = { readonly submission: Submission; readonly mint: MintFacts; readonly smartWallets: boolean }

function refuseSigned(transaction: Transaction, { submission, mint, smartWallets }: Checking): Refusal | undefined {
  const { payment, requirements } = submission
  const feePayer = addressBytes(readExtra(payment.accepted)?.feePayer ?? '')
  if (feePayer === undefined) return { reason: 'invalid_exact_svm_payload_missing_fee_payer' }
  if (!sameBytes(transaction.accounts[0] ?? feePayer, feePayer)) return { reason: 'invalid_exact_svm_fee_payer_mismatch' }
  const layout = readLayout(transaction, transaction.accounts)
  if (isRefusal(layout)) return smartWallets ? undefined : layout
  return refuseTransfer(layout, { transaction, requirements, mint })
}

function payeeOf(option: string, address: string): string {
  if (!isAddress(address)) throw solanaErrors('config/bad-address', { option, address })
  return address
}

function feePayerOf(kind: SupportedKind | undefined, network: string): string {
  // While a route is checked before its facilitator has answered, any address stands for the one to come: it is as long.
  if (kind === undefined) return system.address
  const feePayer = kind.extra?.feePayer
  if (typeof feePayer !== 'string' || !isAddress(feePayer)) throw solanaErrors('config/no-fee-payer', { network })
  return feePayer
}

// A blockhash lives for about a minute: one of 15 seconds leaves a payer most of it, one of 45 hardly enough.
const freshFor = 15_000
const usableFor = 45_000

/** The newest blockhash that is known, asked for again when somebody looks at one that is no longer fresh. */
function recentBlockhashes(reader: SolanaReader, clock: () => number) {
  let known: (RecentBlockhash & { readonly since: number }) | undefined
  let asking: Promise<void> | undefined

  return {
    refresh,
    current() {
      const age = known === undefined ? Number.POSITIVE_INFINITY : clock() - known.since
      // Offers go out without one while the chain does not answer: payers can ask it themselves.
      if (age > freshFor) void refresh().catch(() => {})
      return age > usableFor ? undefined : known
    },
  }

  function refresh(signal?: AbortSignal): Promise<void> {
    asking ??= ask(signal).finally(() => {
      asking = undefined
    })
    return asking
  }

  async function ask(signal: AbortSignal | undefined): Promise<void> {
    const since = clock()
    known = { ...(await reader.recentBlockhash({ signal })), since }
  }
}
