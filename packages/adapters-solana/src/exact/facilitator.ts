import {
  type Asset,
  type FacilitatorScheme,
  assets as knownAssets,
  type PaymentPayload,
  type Submission,
  type Verdict,
} from '@flow402x/core'
import * as z from 'zod/mini'
import { addressBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { encodeBase64 } from '../chain/base64.ts'
import { feeOf } from '../chain/budget.ts'
import { solanaErrors } from '../chain/errors.ts'
import { splToken, token2022 } from '../chain/programs.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import { namesFeePayer, type Transaction } from '../chain/transaction.ts'
import { isRefusal, type Layout, readLayout, refuseTransfer } from './layout.ts'
import { outcomeOf } from './outcome.ts'
import { judgeSmartWallet, refuseTrace } from './smart-wallet.ts'
import { accountsOf, faultOfMint, heldBy } from './stored.ts'
import { exactPayload, type MintFacts, payerOf, paymentKey, type Refusal, readExtra, readTransaction, refuseTerms } from './wire.ts'

/** What settling `exact` on a Solana network takes. */
export type ExactSolanaFacilitatorOptions = {
  readonly chain: SolanaChain
  /** Tokens to serve beside those of the table. */
  readonly assets?: readonly Asset[]
  /** The most compute units that a wallet's own transaction may ask for. 200,000 unless told. */
  readonly maxComputeUnits?: bigint
  /** The most that a compute unit may cost, in millionths of a lamport. 5,000,000 unless told; the chain's `maxLamportsPerPayment` caps the whole. */
  readonly maxComputeUnitPrice?: bigint
  /** Programs of smart wallets to take payments from, such as `smartWalletPrograms`. None unless told. */
  readonly smartWallets?: readonly string[]
  /** Unix seconds. */
  readonly now?: () => number
}

/**
 * Verifies and settles x402 `exact` on one Solana network.
 *
 * Verifying costs one simulation, and one read more where a payment uses lookup tables; a bad payment is a verdict with the spec's
 * reason, and an RPC that fails is an error. Of several fee payers the first is advertised and all are taken (H59).
 * Errors: `config/foreign-asset`, `config/not-a-token`, `config/bad-address` at creation; `config/wrong-chain`, `config/mint-mismatch`,
 * `config/no-token`, `solana/rpc` from `start`; `solana/rpc`, `solana/call-failed` from `verify`; `solana/not-settleable` from `plan`.
 */
export function exactSolanaFacilitator(options: ExactSolanaFacilitatorOptions): FacilitatorScheme {
  const { chain, assets = [], now = () => Date.now() / 1000 } = options
  const { network, signers } = chain
  const tokens = tokensOf(network, assets)
  const judge = judgeOf(options)
  const [feePayer = ''] = signers
  let served: ReadonlySet<string> | undefined
  // The accounts of payments that passed, lookup tables and all: `plan` and `outcome` ask for what `verify` has read.
  const passed = new WeakMap<PaymentPayload, readonly Uint8Array[]>()

  const start: FacilitatorScheme['start'] = async ({ signal } = {}) => {
    await chain.start({ signal })
    served ??= await servedTokens(chain, { tokens, required: assets.map(({ address }) => address), signal })
  }

  return {
    scheme: 'exact',
    network,
    writer: chain,
    supported() {
      const features = options.smartWallets === undefined ? {} : { features: { smartWalletSupported: true } }
      return { x402Version: 2, scheme: 'exact', network, extra: { feePayer, ...features } }
    },
    start,
    key: (payment) => (payment.accepted.network === network ? paymentKey(payment, { now: now() }) : undefined),
    async verify(submission, { signal } = {}) {
      const { payment, requirements } = submission
      const terms = termsOf(submission, { chain, tokens })
      if (isRefusal(terms)) return { valid: false, ...terms }
      const { transaction, payer, mint } = terms
      const [signature = new Uint8Array()] = transaction.signatures.slice(1)
      if (!(await chain.ed25519.verify({ signature, message: transaction.message, publicKey: payer })))
        return { valid: false, reason: 'invalid_exact_svm_payload_signature_invalid' }
      const refused = (refusal: Refusal): Verdict => ({ valid: false, ...refusal, payer: encodeBase58(payer) })
      await start({ signal })
      if (served?.has(requirements.asset) !== true)
        return refused({ reason: 'invalid_payment_requirements', message: `The token ${requirements.asset} is not served here.` })
      const accounts = await accountsOf(transaction, { chain, signal })
      if (accounts === undefined) return refused({ reason: 'invalid_exact_svm_smart_wallet_alt_resolution_failed' })
      const judged = judge(submission, { transaction, accounts, mint })
      if (isRefusal(judged)) return refused(judged)
      const { refusal, funds } = await simulate(chain, { submission, transaction, mint, layout: judged.layout, signal })
      if (refusal !== undefined) return refused(refusal)
      passed.set(payment, accounts)
      return { valid: true, payer: encodeBase58(payer), ...(funds === undefined ? {} : { funds }) }
    },
    plan(submission) {
      const terms = termsOf(submission, { chain, tokens })
      if (isRefusal(terms)) throw solanaErrors('solana/not-settleable', { reason: terms.reason })
      const { transaction, mint } = terms
      const judged = judge(submission, { ...terms, accounts: accountsFor(submission.payment, transaction) })
      if (isRefusal(judged)) throw solanaErrors('solana/not-settleable', { reason: judged.reason })
      // What a smart wallet's programs do is known from its simulation alone.
      if (judged.layout === undefined && !passed.has(submission.payment))
        throw solanaErrors('solana/not-settleable', { reason: 'it was not simulated here' })
      const signer = encodeBase58(transaction.accounts[0] ?? new Uint8Array())
      return [{ target: mint.program.address, data: encodeBase64(transaction.bytes), gas: judged.computeUnits, alone: true, signer }]
    },
    // There is no `look`: without a signature of this fee payer nothing is settled, so no transaction but those of the journal can be.
    outcome(submission, { transaction, status }) {
      const read = readTransaction(submission.payment)
      const layout = read && readLayout(read, accountsFor(submission.payment, read))
      const exact = layout !== undefined && !isRefusal(layout)
      return outcomeOf(submission, { transaction, read, exact, mint: tokens.get(submission.requirements.asset), now: now(), ...status })
    },
  }

  function accountsFor(payment: PaymentPayload, { accounts }: Transaction): readonly Uint8Array[] {
    return passed.get(payment) ?? accounts
  }
}

function tokensOf(network: string, extra: readonly Asset[]): ReadonlyMap<string, MintFacts> {
  for (const { network: home, symbol, address, transfer } of extra) {
    if (home !== network) throw solanaErrors('config/foreign-asset', { asset: symbol, network: home, wanted: network })
    if (addressBytes(address) === undefined) throw solanaErrors('config/bad-address', { option: `The address of ${symbol}`, address })
    if (transfer !== 'spl-token' && transfer !== 'token-2022') throw solanaErrors('config/not-a-token', { network, asset: symbol })
  }
  const here = [...knownAssets, ...extra].filter((asset) => asset.network === network && asset.transfer !== 'native')
  return new Map(
    here.flatMap(({ address, transfer, decimals }) => {
      const mint = addressBytes(address)
      const program = transfer === 'token-2022' ? token2022 : splToken
      return mint === undefined ? [] : [[address, { mint, program, decimals }] as const]
    }),
  )
}

type Checking = {
  readonly tokens: ReadonlyMap<string, MintFacts>
  readonly required: readonly string[]
  readonly signal: AbortSignal | undefined
}

/** The tokens that stand on the chain as they are known here. One of the table that has got a fee or a hook is not served. */
async function servedTokens(chain: SolanaChain, { tokens, required, signal }: Checking): Promise<ReadonlySet<string>> {
  const all = [...tokens]
  const accounts = await chain.accounts([...tokens.keys()], { signal })
  const served = all.filter(([asset, mint], at) => {
    const account = accounts[at]
    const why = account && faultOfMint(account, mint)
    if (why !== undefined && required.includes(asset)) throw solanaErrors('config/mint-mismatch', { asset, network: chain.network, why })
    return account !== undefined && why === undefined
  })
  const found = new Set(served.map(([asset]) => asset))
  const missing = required.filter((asset) => !found.has(asset))
  if (found.size === 0 || missing.length > 0) {
    throw solanaErrors('config/no-token', {
      network: chain.network,
      tokens: (missing.length > 0 ? missing : [...tokens.keys()]).join(', '),
    })
  }
  return found
}

type Terms = { readonly transaction: Transaction; readonly payer: Uint8Array; readonly mint: MintFacts }

/** What can be told from a submission alone (wire.md §14, steps 1 to 5 without the signature itself). */
function termsOf(
  submission: Submission,
  { chain, tokens }: { chain: SolanaChain; tokens: ReadonlyMap<string, MintFacts> },
): Terms | Refusal {
  const { payment, requirements } = submission
  const wrong = refuseTerms(submission, chain.network)
  if (wrong !== undefined) return wrong
  const extra = readExtra(requirements)
  if (extra === undefined)
    return { reason: 'invalid_exact_svm_payload_missing_fee_payer', message: 'extra has no feePayer, or cannot be read.' }
  if (!chain.signers.includes(extra.feePayer)) return { reason: 'invalid_exact_svm_fee_payer_not_managed_by_facilitator' }
  const mint = tokens.get(requirements.asset)
  if (mint === undefined) return { reason: 'invalid_payment_requirements', message: `The token ${requirements.asset} is not served here.` }
  if (!z.safeParse(exactPayload, payment.payload).success) return { reason: 'invalid_exact_svm_payload_transaction' }
  const transaction = readTransaction(payment)
  if (transaction === undefined) return { reason: 'invalid_exact_svm_payload_transaction_could_not_be_decoded' }
  const payer = payerOf(transaction)
  if (payer === undefined)
    return {
      reason: 'invalid_exact_svm_payload_excessive_signers',
      message: 'Its signers must be the fee payer and the payer, and nobody else.',
    }
  const [feePayer = payer] = transaction.accounts
  // Any that is managed here will do: the offer may be another replica's (H59).
  if (!chain.signers.includes(encodeBase58(feePayer))) return { reason: 'invalid_exact_svm_fee_payer_mismatch' }
  if (chain.signers.includes(encodeBase58(payer))) return { reason: 'invalid_exact_svm_payload_transaction_fee_payer_transferring_funds' }
  return { transaction, payer, mint }
}

/** A payment that passed: its layout where it has the usual one, and nothing in its place for a smart wallet's. */
type Judged = { readonly layout: Layout | undefined; readonly computeUnits: bigint }

type Case = Terms & { readonly accounts: readonly Uint8Array[] }

function judgeOf(options: ExactSolanaFacilitatorOptions) {
  const { chain, smartWallets, maxComputeUnits = 200_000n, maxComputeUnitPrice = 5_000_000n } = options
  const programs = smartWallets && new Set(smartWallets)

  /** Everything that needs no simulation (wire.md §14, steps 7 to 16). */
  return ({ requirements }: Submission, { transaction, accounts, mint }: Omit<Case, 'payer'>): Judged | Refusal => {
    const layout = readLayout(transaction, accounts)
    if (isRefusal(layout)) {
      if (programs === undefined) return layout
      const most = chain.maxLamportsPerPayment
      const judged = judgeSmartWallet({ transaction, accounts }, { requirements, programs, most })
      return isRefusal(judged) ? judged : { layout: undefined, computeUnits: judged.computeUnits }
    }
    return (
      refuseCost(transaction, layout) ??
      refuseTransfer(layout, { transaction, requirements, mint }) ?? { layout, computeUnits: layout.computeUnits }
    )
  }

  function refuseCost(transaction: Transaction, layout: Layout): Refusal | undefined {
    const tooHigh = 'invalid_exact_svm_payload_transaction_instructions_compute'
    if (layout.computeUnits > maxComputeUnits) return { reason: `${tooHigh}_limit_instruction_too_high` }
    if (layout.microLamports > maxComputeUnitPrice) return { reason: `${tooHigh}_price_instruction_too_high` }
    const lamports = feeOf(transaction, layout)
    // A price within its cap and a limit within its own can still be too much together (A5).
    if (lamports > chain.maxLamportsPerPayment)
      return {
        reason: `${tooHigh}_price_instruction_too_high`,
        message: `It may cost ${lamports} lamports, of ${chain.maxLamportsPerPayment} at most.`,
      }
    return namesFeePayer(transaction) ? { reason: 'invalid_exact_svm_payload_transaction_fee_payer_transferring_funds' } : undefined
  }
}

type Simulating = {
  readonly submission: Submission
  readonly transaction: Transaction
  readonly mint: MintFacts
  readonly layout: Layout | undefined
  readonly signal: AbortSignal | undefined
}

/** Runs the payment without effect, and looks in the same breath at what the payer holds and what a Token-2022 mint has become. */
async function simulate(
  chain: SolanaChain,
  { submission: { requirements }, transaction, mint, layout, signal }: Simulating,
): Promise<{ readonly refusal?: Refusal; readonly funds?: bigint }> {
  const source = layout === undefined ? [] : [encodeBase58(layout.transfer.source)]
  const watched = mint.program === token2022 ? [requirements.asset] : []
  const { failure, accounts, inner } = await chain.simulate(transaction, {
    accounts: [...watched, ...source],
    inner: layout === undefined,
    signal,
  })
  if (failure !== undefined) return { refusal: { reason: 'invalid_exact_svm_transaction_simulation_failed', message: failure } }
  const [token] = accounts
  const why = watched.length > 0 && token !== undefined ? faultOfMint(token, mint) : undefined
  if (why !== undefined) return { refusal: { reason: 'invalid_payment_requirements', message: `The token is not served: ${why}.` } }
  const refusal = layout === undefined ? refuseTrace(inner, { requirements, mint }) : undefined
  if (refusal !== undefined || layout === undefined) return { ...(refusal && { refusal }) }
  const left = heldBy(accounts[watched.length])
  return left === undefined ? {} : { funds: left + layout.transfer.amount }
}
