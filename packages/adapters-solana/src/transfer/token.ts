import { type Asset, assetOf, isLoopback, parseNetwork } from '@flow402x/core'
import { type Owed, type TokenAdapter, tokenErrors, type WalletOptions, walletTokenAdapter } from '@flow402x/core/token'
import { isAddress, isSolana } from '../chain/address.ts'
import { decodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { solanaChain } from '../chain/solana-chain.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../crypto/signer.ts'
import { payableAsset } from '../exact/recipient.ts'
import { accountOf } from './instructions.ts'
import { type Moved, readMoved } from './moved.ts'
import { heldIn, type SolanaToken, solanaRail } from './rail.ts'

/** One token of Solana, or SOL. */
export type SolanaTokenAdapterOptions = WalletOptions & {
  /** A CAIP-2 id, or a friendly name such as "solana-devnet". */
  readonly network: string
  readonly rpcUrl: string
  /** A symbol or mint of the table, `"SOL"`, or all facts of a token. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** Who pays, fees included. Without it payments are looked up and none is made. */
  readonly signer?: SecretKey | SolanaSender
  /** How deep a payment must lie to be valid; `finalized` unless told. */
  readonly commitment?: 'confirmed' | 'finalized'
  /** Whether recipients without a token account get one, at the payer's expense of about 0.002 SOL each; refused unless told. */
  readonly openAccounts?: boolean
  /** The price of computing, in millionths of a lamport for each unit; 10,000 unless told, which is at most 1,100 lamports. */
  readonly microLamports?: bigint
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
}

/**
 * Pays in one token of Solana, or SOL, by transactions of the wallet's own, and looks such payments up. Valid is what balances show
 * of a transaction that is deep enough: exactly this much for the recipient, in his associated token account.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/not-a-token`, `config/bad-secret-key`,
 * `config/bad-rpc-url`, `config/unsafe-local-key`; from its methods `token/…`, `solana/…` and `config/…` of chain, mint and recipient.
 */
export function solanaTokenAdapter(options: SolanaTokenAdapterOptions): TokenAdapter {
  const { rpcUrl, signer, commitment = 'finalized', fetch, timeoutMs = 10_000 } = options
  const { openAccounts = false, microLamports = 10_000n } = options
  const network = parseNetwork(options.network)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  const asset = typeof options.asset === 'object' ? options.asset : assetOf(network, options.asset)
  if (asset.network !== network)
    throw solanaErrors('config/foreign-asset', { asset: asset.symbol, network: asset.network, wanted: network })
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const mint = asset.transfer === 'native' ? undefined : payableAsset(network, asset).mint
  const asked: SolanaToken = { asset, mint, rpc }
  const sender = signer === undefined ? undefined : senderOf(signer)
  const chain = sender && solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs })
  // A local validator has a genesis of its own and borrows a network's id (wire.md §6).
  let checked = isLoopback(rpcUrl)
  const start = async (signal: AbortSignal | undefined): Promise<void> => {
    if (!checked) await checkChain(rpc, { network, signal })
    checked = true
  }
  return walletTokenAdapter(
    {
      asset,
      rail: chain && sender && solanaRail({ ...asked, chain, sender, openAccounts, microLamports }),
      recipient: checkedRecipient,
      async standing(transaction, owed, { signal }) {
        if (decodeBase58(transaction)?.length !== 64 || !isAddress(owed.recipient)) return 'other'
        await start(signal)
        const moved = await readMoved(rpc, transaction, { signal })
        if (moved === undefined) return 'unknown'
        if (!pays(moved, owed, asked)) return 'other'
        if (commitment === 'confirmed') return 'valid'
        return (await readMoved(rpc, transaction, { commitment, signal })) === undefined ? 'shallow' : 'valid'
      },
      async held(address, { signal }) {
        if (!isAddress(address)) throw solanaErrors('config/bad-address', { option: 'address', address })
        await start(signal)
        return await heldIn(address, asked, { signal })
      },
    },
    options,
  )
}

function checkedRecipient(recipient: string, sender: string): string {
  const bad = (why: string) => tokenErrors('token/bad-recipient', { recipient, why })
  if (!isAddress(recipient)) throw bad('it is no Solana address: give 32 bytes in base58')
  // All zeros is the system program, whose accounts are nobody's.
  if (/^1+$/.test(recipient)) throw bad('it is the address of nobody')
  if (recipient === sender) throw bad('it is the sender himself')
  return recipient
}

/** Whether a transaction paid exactly what is owed: what the recipient's account gained by it. */
function pays(moved: Moved, { recipient, amount, sender }: Owed, { asset, mint }: SolanaToken): boolean {
  const changeOf = (owner: string): bigint => {
    if (mint === undefined) return moved.coinChange(owner) ?? 0n
    const change = moved.tokenChange(accountOf(owner, mint), asset.address)
    // An account whose owner was changed is not his any more.
    return change === undefined || change.owner !== owner ? 0n : change.change
  }
  const gained = changeOf(recipient)
  const isTheirs = sender === undefined || (moved.signers.includes(sender) && -changeOf(sender) >= gained)
  return moved.success && gained > 0n && isTheirs && (amount === undefined || gained === amount)
}
