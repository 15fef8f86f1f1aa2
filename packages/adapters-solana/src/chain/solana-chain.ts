import { type Call, type ChainWriter, isLoopback, parseNetwork, type SignedTransaction } from '@flow402x/core'
import type { TransactionPartialSigner } from '@solana/kit'
import * as z from 'zod/mini'
import { type Ed25519, fastestEd25519 } from '../crypto/ed25519.ts'
import { assertSafeSigners } from '../crypto/local-safety.ts'
import { type SecretKey, secretKeySender } from '../crypto/signer.ts'
import { kitSigner, type SolanaSigner } from '../crypto/wallet.ts'
import { channelFrom } from '../nonce-voucher/channel.ts'
import { type EpochVoucher, readVoucher } from '../nonce-voucher/voucher.ts'
import { addressBytes, isSolana } from './address.ts'
import { encodeBase58 } from './base58.ts'
import { decodeBase64, encodeBase64 } from './base64.ts'
import { feeOf, readBudget } from './budget.ts'
import { broadcast, confirmations } from './confirmation.ts'
import { solanaErrors } from './errors.ts'
import { accountsSchema, type StoredAccount, storedAccount } from './reader.ts'
import { checkChain, httpRpc, inContext, type Rpc } from './rpc.ts'
import { decodeTransaction, namesFeePayer, type Transaction, withSignature } from './transaction.ts'

/** The connection to one Solana network. */
export type SolanaChainOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  readonly rpcUrl: string
  /** Secret keys or accounts that pay the fees of settlements: one lane each. */
  readonly signers: readonly (SecretKey | SolanaSigner | TransactionPartialSigner)[]
  /** The most lamports that one payment may cost its fee payer, for signatures and computing together. 100,000 unless told. */
  readonly maxLamportsPerPayment?: bigint
  /** Below so many lamports a signer takes on nothing more. 5,000,000 unless told. */
  readonly leastLamports?: bigint
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch | undefined
  /** The signatures' implementation; the fastest that runs here unless told. */
  readonly ed25519?: Ed25519
}

type Abortable = { readonly signal?: AbortSignal | undefined }

/** What a simulated transaction came to. */
export type Simulated = {
  /** Why it would fail, or nothing. */
  readonly failure: string | undefined
  /** The accounts asked for as it would leave them: nothing for one that would not exist. */
  readonly accounts: readonly (StoredAccount | undefined)[]
  /** What its programs call, as the RPC tells it. */
  readonly inner: readonly unknown[]
}

/** What a simulation shall tell besides success. */
export type SimulateOptions = Abortable & { readonly accounts?: readonly string[]; readonly inner?: boolean }

/** One Solana network with its RPC connection, shared by every scheme on it; also its writer. */
export interface SolanaChain extends ChainWriter {
  readonly ed25519: Ed25519
  readonly maxLamportsPerPayment: bigint
  /** Checks once that the RPC serves this network. Errors: `config/wrong-chain`, `solana/rpc`. */
  start(options?: Abortable): Promise<void>
  /** Runs a transaction without effect, unsigned by its fee payer, on the newest state. Errors: `solana/rpc`, `solana/call-failed`. */
  simulate(transaction: Transaction, options?: SimulateOptions): Promise<Simulated>
  /** Reads accounts, nothing for one that does not exist. Errors: `solana/rpc`, `solana/call-failed`. */
  accounts(addresses: readonly string[], options?: Abortable): Promise<readonly (StoredAccount | undefined)[]>
}

/**
 * Connects schemes to one Solana network; nothing is sent before it is used. Its RPC must keep its history for as long as this side
 * may be down: a payment that is not found there counts as never settled (M21).
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/no-signer`, `config/bad-secret-key`, `config/bad-address`,
 * `config/bad-rpc-url`, `config/unsafe-local-key`; from `sign` and `send` those of `solana/…`.
 */
export function solanaChain(options: SolanaChainOptions): SolanaChain {
  const { rpcUrl, fetch, timeoutMs = 10_000 } = options
  const { maxLamportsPerPayment = 100_000n, leastLamports = 5_000_000n, ed25519 = fastestEd25519() } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const senders = sendersOf(options.signers)
  const signers = [...senders.keys()]
  assertSafeSigners({ network, rpcUrl, signers })
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  // A local validator has a genesis of its own and borrows a network's id (wire.md §6).
  let checked = isLoopback(rpcUrl)
  return {
    network,
    ordered: false,
    signers,
    ed25519,
    maxLamportsPerPayment,
    async start({ signal } = {}) {
      if (!checked) await checkChain(rpc, { network, signal })
      checked = true
    },
    simulate: (transaction, wanted = {}) => simulate(rpc, { transaction, ...wanted }),
    accounts: (addresses, { signal } = {}) => readAccounts(rpc, { addresses, signal }),
    // The engine numbers the transactions of a chain without ordered nonces itself.
    nonce: async () => 0n,
    sign: (calls, { signer, nonce }) => sign(calls, { signer, nonce, senders, ed25519, most: maxLamportsPerPayment }),
    async replace() {
      throw solanaErrors('solana/not-replaceable', {})
    },
    send: (signed) => broadcast(rpc, signed),
    ...confirmations(rpc),
    async final() {
      const slot = await rpc.ask({ method: 'getSlot', params: [{ commitment: 'finalized' }], result: z.number() })
      return BigInt(slot)
    },
    async balance(signer, { signal } = {}) {
      const params = [signer, { commitment: 'confirmed' }]
      const { value } = await rpc.ask({ method: 'getBalance', params, result: inContext(z.number()) }, { signal })
      return { held: BigInt(value), least: leastLamports }
    },
  }
}

function sendersOf(signers: SolanaChainOptions['signers']): Map<string, SolanaSigner> {
  const senders = signers.map((signer): SolanaSigner => {
    if (typeof signer === 'string' || signer instanceof Uint8Array) return secretKeySender(signer)
    return 'signTransactions' in signer ? kitSigner(signer) : signer
  })
  for (const { address } of senders) {
    if (addressBytes(address) === undefined) throw solanaErrors('config/bad-address', { option: 'A signer', address })
  }
  const byAddress = new Map(senders.map((sender) => [sender.address, sender]))
  if (byAddress.size === 0) throw solanaErrors('config/no-signer', { why: 'signers is empty' })
  if (byAddress.size < senders.length) throw solanaErrors('config/no-signer', { why: 'one account stands in signers twice' })
  return byAddress
}

async function readAccounts(rpc: Rpc, { addresses, signal }: Abortable & { addresses: readonly string[] }) {
  const params = [addresses, { encoding: 'base64', commitment: 'confirmed' }]
  const { value } = await rpc.ask({ method: 'getMultipleAccounts', params, result: accountsSchema }, { signal })
  return addresses.map((_, at) => value[at] ?? undefined)
}

const simulationSchema = inContext(
  z.looseObject({ err: z.unknown(), accounts: z.nullish(z.array(storedAccount)), innerInstructions: z.nullish(z.array(z.unknown())) }),
)

async function simulate(rpc: Rpc, { transaction, accounts = [], inner = false, signal }: SimulateOptions & { transaction: Transaction }) {
  const config = {
    encoding: 'base64',
    // The newest state: what was paid a moment ago is gone. The blockhash stays, for one that ran out must fail here.
    commitment: 'processed',
    sigVerify: false,
    replaceRecentBlockhash: false,
    ...(accounts.length > 0 ? { accounts: { encoding: 'base64', addresses: accounts } } : {}),
    ...(inner ? { innerInstructions: true } : {}),
  }
  const params = [encodeBase64(transaction.bytes), config]
  const { value } = await rpc.ask({ method: 'simulateTransaction', params, result: simulationSchema, shared: true }, { signal })
  return {
    failure: value.err == null ? undefined : JSON.stringify(value.err).slice(0, 200),
    accounts: accounts.map((_, at) => value.accounts?.[at] ?? undefined),
    inner: value.innerInstructions ?? [],
  }
}

type Signing = {
  readonly signer: string
  readonly nonce: bigint
  readonly senders: ReadonlyMap<string, SolanaSigner>
  readonly ed25519: Ed25519
  /** In lamports. */
  readonly most: bigint
}

/** Adds the fee payer's signature to the one payment, once more only to what cannot cost him more than fees (A5). */
async function sign(calls: readonly Call[], { signer, nonce, senders, ed25519, most }: Signing): Promise<SignedTransaction> {
  const [call, ...more] = calls
  const transaction = call === undefined || more.length > 0 ? undefined : decodeTransaction(decodeBase64(call.data) ?? new Uint8Array())
  if (transaction === undefined) throw solanaErrors('solana/unsafe-transaction', { why: 'it is not one payment that can be read' })
  const sender = senders.get(signer)
  if (sender === undefined) throw solanaErrors('solana/unknown-signer', { address: signer })
  const [feePayer = new Uint8Array()] = transaction.accounts
  // A voucher names its fee payer as the nonce's authority and half of the multisig of a channel whose accounts are its payer's own.
  const voucher = call === undefined ? undefined : voucherOf(call.target, transaction)
  const budget = voucher === undefined ? readBudget(transaction) : { computeUnits: 0n, microLamports: 0n }
  if (encodeBase58(feePayer) !== signer) throw solanaErrors('solana/unsafe-transaction', { why: 'its fee payer is another' })
  if (voucher === undefined && namesFeePayer(transaction))
    throw solanaErrors('solana/unsafe-transaction', { why: 'an instruction names its fee payer' })
  if (typeof budget === 'string' || feeOf(transaction, budget) > most)
    throw solanaErrors('solana/unsafe-transaction', { why: `its fee is not known to be at most ${most} lamports` })
  const signature = await signatureOf(sender, transaction)
  const genuine = signature !== undefined && (await ed25519.verify({ signature, message: transaction.message, publicKey: feePayer }))
  if (!genuine) throw solanaErrors('solana/bad-signature', { address: signer })
  const bytes = encodeBase64(withSignature(transaction, { signature, signer: 0 }))
  return { transaction: encodeBase58(signature), bytes, signer, nonce }
}

function voucherOf(target: string, transaction: Transaction): EpochVoucher | undefined {
  const channel = channelFrom(target)
  return channel && readVoucher(channel, transaction)
}

async function signatureOf(sender: SolanaSigner, { bytes, message }: Transaction): Promise<Uint8Array | undefined> {
  if (sender.sign !== undefined) return sender.sign(message)
  const whole = await sender.signTransaction?.(bytes)
  return whole && decodeTransaction(whole)?.signatures[0]
}
