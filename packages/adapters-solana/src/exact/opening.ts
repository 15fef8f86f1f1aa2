import { type Asset, type BudgetStore, parseNetwork } from '@flow402x/core'
import { address, createNoopSigner } from '@solana/kit'
import { getCreateAssociatedTokenIdempotentInstruction } from '@solana-program/token'
import * as z from 'zod/mini'
import { isAddress } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { feeOf } from '../chain/budget.ts'
import { solanaErrors } from '../chain/errors.ts'
import { readerOf } from '../chain/reader.ts'
import { httpRpc, type Rpc } from '../chain/rpc.ts'
import { type SolanaChain, solanaChain } from '../chain/solana-chain.ts'
import type { Transaction } from '../chain/transaction.ts'
import { type SecretKey, type SolanaSender, secretKeySender } from '../crypto/signer.ts'
import { ownTransaction, sendOwn } from '../transfer/own.ts'
import { checkMint, checkRecipient, payableAsset, refuseOwner } from './recipient.ts'
import { type MintFacts, payeeAccount } from './wire.ts'

/** Whose token account is opened, and who pays for it. */
export type OpenTokenAccountOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana-devnet". */
  readonly network: string
  readonly rpcUrl: string
  /** Pays the rent and the fee. */
  readonly payer: SecretKey | SolanaSender
  /** The wallet that shall be able to receive; need not be the payer. */
  readonly owner: string
  /** The token: a symbol or address of the table, or all facts of one that is not in it. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** Told what it costs before anything is signed, which waits for it; nothing is signed where it throws. */
  readonly onCost?: (cost: OpeningCost) => void | Promise<void>
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** What opening costs its payer, in lamports: the rent stays in the account, the fee is gone. */
export type OpeningCost = { readonly payer: string; readonly account: string; readonly rent: bigint; readonly fee: bigint }

/** An owner's token account that is there now. */
export type OpenedTokenAccount = {
  readonly account: string
  readonly owner: string
  readonly network: string
  readonly asset: { readonly symbol: string; readonly address: string }
  /** Absent where the account was there before, which costs nothing. */
  readonly opening?: OpeningCost & { readonly transaction: string }
}

/**
 * Opens the associated token account of an owner, which a payment never creates (D4, H18). An account that is there is looked at and
 * left alone; two that open the same at once pay its rent once.
 *
 * Errors: those of `solanaChain` and of `exactSolanaServer`'s account; `config/bad-owner`; `solana/no-sol`, `solana/not-opened`,
 * `solana/rpc`, `solana/refused`, `solana/broadcast-unknown`.
 */
export async function openTokenAccount(options: OpenTokenAccountOptions): Promise<OpenedTokenAccount> {
  const { rpcUrl, owner, onCost, signal, fetch, timeoutMs = 10_000 } = options
  const network = parseNetwork(options.network)
  const sender = isSender(options.payer) ? options.payer : secretKeySender(options.payer)
  const chain = solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs })
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const reader = readerOf(rpc)
  const { asset, mint } = payableAsset(network, options.asset)
  const account = payeeAccount(owner, mint)
  if (!isAddress(owner) || account === undefined) throw solanaErrors('config/bad-address', { option: 'owner', address: owner })
  const recipient = { network, payTo: owner, asset: asset.address, mint }
  const opened = { account: encodeBase58(account), owner, network, asset: { symbol: asset.symbol, address: asset.address } }

  await chain.start({ signal })
  await checkMint(reader, recipient, { signal })
  if ((await reader.account(opened.account, { signal })) !== undefined) {
    await checkRecipient(reader, recipient, { signal })
    return opened
  }
  await refuseOwner(reader, { owner, signal })
  const { blockhash: recent } = await reader.recentBlockhash({ signal })
  const unsigned = buildOpening({ payer: sender.address, owner, asset: asset.address, mint, recent, account: opened.account })
  const cost = await costOf(unsigned, { chain, rpc, payer: sender.address, account: opened.account, signal })
  await onCost?.(cost)
  const failed = (why: string) => solanaErrors('solana/not-opened', { account: opened.account, why })
  const transaction = await sendOwn(chain, { unsigned, sender, failed, signal })
  await checkRecipient(reader, recipient, { signal })
  return { ...opened, opening: { ...cost, transaction } }
}

/** Who pays for the token accounts of others, for whom, and up to what. */
export type TokenAccountSponsorOptions = Omit<OpenTokenAccountOptions, 'owner' | 'onCost' | 'signal'> & {
  /** Where the spending of each day is kept: the store of everybody who sponsors from this payer. */
  readonly budgets: BudgetStore
  /** The most lamports that one UTC day may cost, rent and fees together. */
  readonly lamportsPerDay: bigint
  /** Whether the account of this owner is paid for. */
  readonly mayOpen: (owner: string) => boolean | Promise<boolean>
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** Opens token accounts at its own expense, within the day's cap. Errors: `solana/not-sponsored`, those of `openTokenAccount`. */
export type TokenAccountSponsor = {
  open(owner: string, options?: { readonly signal?: AbortSignal }): Promise<OpenedTokenAccount>
}

/**
 * Pays for the token accounts of payees (D4, M19): in a transaction of its own, never inside a payer's. What it may cost is written
 * down before it is signed and never taken back that day, so a crash or two at once can make the cap too small and never too large;
 * whoever opens again after a crash finds the account there, or pays for it once.
 */
export function tokenAccountSponsor({
  budgets,
  lamportsPerDay,
  mayOpen,
  clock = Date.now,
  ...opening
}: TokenAccountSponsorOptions): TokenAccountSponsor {
  return {
    async open(owner, options = {}) {
      if (!(await mayOpen(owner)))
        throw solanaErrors('solana/not-sponsored', { owner, why: 'it is none of those whose accounts are paid for here' })
      const id = `sponsor ${crypto.randomUUID()}`
      const onCost = async ({ payer, rent, fee }: OpeningCost): Promise<void> => {
        const scope = `sponsor ${parseNetwork(opening.network)} ${payer} ${new Date(clock()).toISOString().slice(0, 10)}`
        const reserved = await budgets.reserve({ id, amount: rent + fee, limits: [{ scope, limit: lamportsPerDay }] })
        if (!reserved.granted)
          throw solanaErrors('solana/not-sponsored', { owner, why: `it costs ${rent + fee} lamports, and ${reserved.left} are left today` })
      }
      const opened = await openTokenAccount({ ...opening, ...options, owner, onCost })
      if (opened.opening !== undefined) await budgets.commit(id)
      return opened
    },
  }
}

function isSender(payer: SecretKey | SolanaSender): payer is SolanaSender {
  return typeof payer !== 'string' && !(payer instanceof Uint8Array)
}

type Abortable = { readonly signal: AbortSignal | undefined }

type Opening = {
  readonly payer: string
  readonly owner: string
  readonly asset: string
  readonly mint: MintFacts
  readonly account: string
  readonly recent: string
}

function buildOpening({ payer, owner, asset, mint, account, recent }: Opening): Transaction {
  const opening = getCreateAssociatedTokenIdempotentInstruction({
    payer: createNoopSigner(address(payer)),
    ata: address(account),
    owner: address(owner),
    mint: address(asset),
    tokenProgram: address(mint.program.address),
  })
  const transaction = ownTransaction({ payer, recent, instructions: [opening] })
  if (transaction === undefined) throw solanaErrors('solana/not-opened', { account, why: 'its transaction could not be built' })
  return transaction
}

type Costing = Abortable & { readonly chain: SolanaChain; readonly rpc: Rpc; readonly account: string; readonly payer: string }

/** Told by a run without effect, which also finds out what would fail. */
async function costOf(unsigned: Transaction, { chain, rpc, account, payer, signal }: Costing): Promise<OpeningCost> {
  const { failure, accounts } = await chain.simulate(unsigned, { accounts: [account], signal })
  const space = accounts[0]?.data.length ?? leastSpace
  const least = await rpc.ask({ method: 'getMinimumBalanceForRentExemption', params: [space], result: z.int() }, { signal })
  const cost = { payer, account, rent: BigInt(least), fee: feeOf(unsigned, { computeUnits: 0n, microLamports: 0n }) }
  const { held } = (await chain.balance?.(payer, { signal })) ?? { held: 0n }
  const needed = cost.rent + cost.fee
  if (held < needed) throw solanaErrors('solana/no-sol', { address: payer, network: chain.network, held, needed })
  if (failure !== undefined) throw solanaErrors('solana/not-opened', { account, why: failure })
  return cost
}

const leastSpace = 165
