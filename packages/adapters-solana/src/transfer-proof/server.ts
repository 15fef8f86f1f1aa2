import { type Asset, assetOf, isLoopback, parseNetwork, type ServerScheme } from '@flow402x/core'
import { type TransferSellerOptions, type TransferSightOptions, transferSeller, transferSight } from '@flow402x/core/transfer'
import { isAddress, isSolana } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { readerOf } from '../chain/reader.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { checkMint, checkRecipient, payableAsset } from '../exact/recipient.ts'
import { devnet, type SolanaConfirmations, solanaTransfers, spellSignature } from './see.ts'

/** What being paid by `transfer-proof` on Solana takes. */
export type TransferProofSolanaServerOptions = TransferSellerOptions &
  Omit<TransferSightOptions, 'unbound'> & {
    /** Who is paid: a wallet, and of a token the one that owns the token account. */
    readonly payTo: string
    /** A CAIP-2 id, or a friendly name such as "solana"; devnet unless told. */
    readonly network?: string
    /** SOL unless told: else a token's symbol or address, or all facts of one that is in no table. */
    readonly asset?: string | Asset
    /** A node of the network: with it no facilitator is needed, and a payer may leave the transaction for the server to find. */
    readonly rpcUrl?: string
    /** How deep a transfer must lie; `confirmed` unless told. */
    readonly confirmations?: SolanaConfirmations
    /** Whether SOL is asked for by the plain challenge as well (DESIGN §8.3); it is unless told. */
    readonly plain?: boolean
    /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
    readonly timeoutMs?: number
    readonly fetch?: typeof globalThis.fetch
  }

/**
 * Is paid by transfers of SOL or of a token that their payers make themselves, each with the SHA-256 of its reference in a memo and as an
 * account that it names (`transfer-proof`, DESIGN §7).
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/weak-secret`, `config/bad-rpc-url` at creation; `config/wrong-chain`, `config/no-token`,
 * `config/mint-mismatch`, `config/no-token-account`, `solana/rpc` from `start`; `solana/rpc` and `solana/call-failed` where it looks.
 */
export function transferProofSolanaServer(options: TransferProofSolanaServerOptions): ServerScheme {
  const { payTo, rpcUrl, confirmations = 'confirmed', plain = true } = options
  const network = parseNetwork(options.network ?? devnet)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const asset = typeof options.asset === 'object' ? options.asset : assetOf(network, options.asset ?? 'SOL')
  const isCoin = asset.transfer === 'native'
  const { mint } = isCoin ? {} : payableAsset(network, asset)
  const payee = (address = payTo): string => {
    if (!isAddress(address)) throw solanaErrors('config/bad-address', { option: 'payTo', address })
    return address
  }
  const seller = { network, asset, payee, confirmations, spell: spellSignature, ...(isCoin && plain ? { plain: plainChallenge } : {}) }
  payee()
  if (rpcUrl === undefined) return transferSeller(seller, options)
  const rpc = httpRpc({ url: rpcUrl, fetch: options.fetch, timeoutMs: options.timeoutMs ?? 10_000 })
  const transfers = solanaTransfers(rpc, { network, confirmations })
  const start: ServerScheme['start'] = async ({ signal } = {}) => {
    if (!isLoopback(rpcUrl)) await checkChain(rpc, { network, signal })
    if (mint === undefined) return
    const recipient = { network, payTo, asset: asset.address, mint }
    await checkMint(readerOf(rpc), recipient, { signal })
    await checkRecipient(readerOf(rpc), recipient, { signal })
  }
  return transferSeller({ ...seller, start, sight: transferSight(transfers, options), find: transfers.find }, options)
}

/** The plain challenge of a transfer of SOL. Lamports are a JSON number, which holds more than two million SOL exactly. */
function plainChallenge({ payTo, amount, extra }: { payTo: string; amount: string; extra?: Record<string, unknown> | null | undefined }) {
  const lamports = BigInt(amount)
  const amountLamports = lamports <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(lamports) : amount
  return { receiver: payTo, amount_lamports: amountLamports, reference: extra?.reference }
}
