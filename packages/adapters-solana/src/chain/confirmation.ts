import { coalesce, isX402Error, type Log, type SignedTransaction, type TransactionStatus } from '@flow402x/core'
import * as z from 'zod/mini'
import { encodeBase58 } from './base58.ts'
import { decodeBase64 } from './base64.ts'
import { solanaErrors } from './errors.ts'
import { storedAccount, storedNonce } from './reader.ts'
import { inContext, type Rpc } from './rpc.ts'
import { decodeTransaction, messageHash, nonceAccountOf, type Transaction } from './transaction.ts'

/** Tells what became of transactions. */
export type Confirmation = { status(signed: { readonly transaction: string; readonly bytes?: string }): Promise<TransactionStatus> }

const statusSchema = inContext(z.array(z.nullable(z.looseObject({ confirmationStatus: z.nullish(z.string()) }))))

// What one getSignatureStatuses takes.
const mostSignatures = 256

/** Asks for many transactions at once, and only as deep as each needs. */
export function confirmations(rpc: Rpc): Confirmation {
  const recent = coalesce(
    async (transactions: readonly string[]) => {
      const { context, value } = await rpc.ask({ method: 'getSignatureStatuses', params: [transactions], result: statusSchema })
      return transactions.map((_, at) => ({ slot: context.slot, found: value[at] ?? null }))
    },
    { most: mostSignatures, atOnce: 4 },
  )
  const lifetimes = createLifetimes(rpc)

  return {
    async status({ transaction, bytes }) {
      const { slot, found } = await recent(transaction)
      const met = lifetimes.metAt(transaction)
      // Older ones are found in the history alone: those of before a restart are looked for there at once.
      const older = found === null && met === undefined ? await history(rpc, transaction) : undefined
      const status = found ?? older?.found
      if (status != null) return status.confirmationStatus === 'processed' ? { state: 'unknown' } : mined(rpc, transaction)
      lifetimes.meet(transaction, slot)
      const message =
        bytes === undefined || !lifetimes.isDue(transaction, slot) ? undefined : decodeTransaction(decodeBase64(bytes) ?? new Uint8Array())
      if (message === undefined || !(await isExpired(transaction, message))) return { state: 'unknown' }
      lifetimes.forget(transaction)
      return { state: 'expired' }
    },
  }

  /** Whether a transaction was never mined and never can be (M21): after its end the history is asked, by a node that is as far. */
  async function isExpired(transaction: string, message: Transaction): Promise<boolean> {
    const ended = await lifetimes.endedAt(transaction, message)
    if (ended === undefined) return false
    const { slot, found } = await history(rpc, transaction)
    return found === null && slot >= ended
  }
}

async function history(rpc: Rpc, transaction: string) {
  const params = [[transaction], { searchTransactionHistory: true }]
  const { context, value } = await rpc.ask({ method: 'getSignatureStatuses', params, result: statusSchema })
  return { slot: context.slot, found: value[0] ?? null }
}

/** When transactions were first met here, and whether their time is over. */
export type Lifetimes = {
  /** The slot at which a transaction was first met, or nothing. */
  metAt(id: string): number | undefined
  /** Meets a transaction at the newest slot that is known, unless it was met before. */
  meet(id: string, slot: number): void
  forget(id: string): void
  /** Whether by this slot so much time has passed that a transaction can have ended: before, nobody need be asked. */
  isDue(id: string, slot: number): boolean
  /** A final slot by which a transaction can be mined no more (M21), or nothing. Errors: `solana/rpc`, `solana/call-failed`. */
  endedAt(id: string, message: Transaction, options?: { readonly signal?: AbortSignal | undefined }): Promise<number | undefined>
}

// A blockhash is good for 150 blocks, and a node that lags by more slots calls itself unhealthy.
const lifeSlots = 150

const mostMet = 65_536

const validitySchema = inContext(z.boolean())

/**
 * Tells the end of transactions from blockhashes and nonces alone. A final block that does not take a blockhash proves it dead only if that block is
 * the younger of the two, for a blockhash that is too new is not taken either: so it must stand a whole life after the transaction was first met; and so with a nonce.
 */
export function createLifetimes(rpc: Rpc): Lifetimes {
  const met = new Map<string, number>()
  const isDue = (id: string, slot: number): boolean => slot >= (met.get(id) ?? Number.POSITIVE_INFINITY) + lifeSlots
  return {
    metAt: (id) => met.get(id),
    meet(id, slot) {
      if (met.has(id)) return
      const [oldest] = met.keys()
      if (met.size >= mostMet && oldest !== undefined) met.delete(oldest)
      met.set(id, slot)
    },
    forget: (id) => void met.delete(id),
    isDue,
    async endedAt(id, message, options) {
      const { slot, isOver } = await lifeOf(rpc, message, options)
      return isOver && isDue(id, slot) ? slot : undefined
    },
  }
}

const nonceSchema = inContext(storedAccount)

/** Whether a final block takes a transaction no more: its blockhash ran out, or the nonce it lives by has moved on, which takes no time. */
async function lifeOf(rpc: Rpc, message: Transaction, options?: { readonly signal?: AbortSignal | undefined }) {
  const named = encodeBase58(message.blockhash)
  const account = nonceAccountOf(message)
  const config = { commitment: 'finalized' }
  if (account === undefined) {
    const { context, value } = await rpc.ask({ method: 'isBlockhashValid', params: [named, config], result: validitySchema }, options)
    return { slot: context.slot, isOver: !value }
  }
  const params = [encodeBase58(account), { ...config, encoding: 'base64' }]
  const { context, value } = await rpc.ask({ method: 'getAccountInfo', params, result: nonceSchema }, options)
  const stored = value === null ? undefined : storedNonce(value)
  return { slot: context.slot, isOver: stored === undefined || encodeBase58(stored.nonce) !== named }
}

const balancesSchema = z.nullish(
  z.array(
    z.looseObject({
      accountIndex: z.number(),
      mint: z.string(),
      owner: z.nullish(z.string()),
      uiTokenAmount: z.looseObject({ amount: z.string().check(z.regex(/^\d{1,20}$/)) }),
    }),
  ),
)

const minedSchema = z.nullable(
  z.looseObject({
    slot: z.number(),
    blockTime: z.nullish(z.int()),
    transaction: z.pipe(
      z.tuple([z.string(), z.literal('base64')]),
      z.transform(([text], context) => {
        const transaction = decodeTransaction(decodeBase64(text) ?? new Uint8Array())
        if (transaction === undefined) context.issues.push({ code: 'custom', input: text, message: 'no transaction' })
        return transaction
      }),
    ),
    meta: z.looseObject({
      err: z.unknown(),
      preBalances: z.nullish(z.array(z.number())),
      postBalances: z.nullish(z.array(z.number())),
      preTokenBalances: balancesSchema,
      postTokenBalances: balancesSchema,
      loadedAddresses: z.nullish(z.looseObject({ writable: z.array(z.string()), readonly: z.array(z.string()) })),
    }),
  }),
)

/** How deep a transaction must lie. */
export type Depth = { readonly commitment?: 'confirmed' | 'finalized'; readonly signal?: AbortSignal | undefined }

/** What a mined transaction changed in one token account; `owner` is told by nodes of our time. */
export type TokenChange = { readonly account: number; readonly mint: string; readonly owner: string | undefined; readonly change: bigint }

/** A mined transaction as a node tells it; `accounts` are its own and then those of its lookup tables. */
export type MinedTransaction = {
  readonly transaction: Transaction
  readonly success: boolean
  readonly slot: bigint
  /** Unix seconds, where the node knows. */
  readonly blockTime: number | undefined
  readonly accounts: readonly string[]
  /** Lamports before and after by account, as JSON has them: exact up to 2^53. */
  readonly lamports: readonly { readonly before: number; readonly after: number }[]
  readonly tokens: readonly TokenChange[]
}

/** Reads a mined transaction; nothing for one that is not there, or not as deep. Errors: `solana/rpc`, `solana/call-failed`. */
export async function readMined(
  rpc: Rpc,
  signature: string,
  { commitment = 'confirmed', signal }: Depth = {},
): Promise<MinedTransaction | undefined> {
  const config = { encoding: 'base64', commitment, maxSupportedTransactionVersion: 0 }
  const found = await rpc.ask({ method: 'getTransaction', params: [signature, config], result: minedSchema }, { signal })
  if (found?.transaction === undefined) return undefined
  const { slot, transaction, meta, blockTime } = found
  const { loadedAddresses: loaded, preBalances, postBalances } = meta
  return {
    transaction,
    success: meta.err == null,
    slot: BigInt(slot),
    blockTime: blockTime ?? undefined,
    accounts: [...transaction.accounts.map(encodeBase58), ...(loaded?.writable ?? []), ...(loaded?.readonly ?? [])],
    lamports: (preBalances ?? []).map((before, at) => ({ before, after: postBalances?.[at] ?? Number.NaN })),
    tokens: tokenChanges(meta),
  }
}

/** A mined transaction with its effects; unknown is one that is not there, or not as deep. Errors: `solana/rpc`, `solana/call-failed`. */
export async function mined(rpc: Rpc, signature: string, depth: Depth = {}): Promise<TransactionStatus> {
  const found = await readMined(rpc, signature, depth)
  if (found === undefined) return { state: 'unknown' }
  const { success, slot, transaction } = found
  return { state: 'mined', success, block: slot, logs: [messageLog(transaction), ...(success ? balanceLogs(found) : [])] }
}

type Balances = Pick<NonNullable<z.infer<typeof minedSchema>>['meta'], 'preTokenBalances' | 'postTokenBalances'>

function tokenChanges({ preTokenBalances, postTokenBalances }: Balances): readonly TokenChange[] {
  const changes = new Map<string, TokenChange>()
  const note = (balances: Balances['preTokenBalances'], sign: bigint): void => {
    for (const { accountIndex: account, mint, owner, uiTokenAmount } of balances ?? []) {
      const key = `${account} ${mint}`
      const change = (changes.get(key)?.change ?? 0n) + sign * BigInt(uiTokenAmount.amount)
      changes.set(key, { account, mint, owner: owner ?? changes.get(key)?.owner, change })
    }
  }
  note(preTokenBalances, -1n)
  note(postTokenBalances, 1n)
  return [...changes.values()].filter(({ change }) => change !== 0n)
}

function balanceLogs({ tokens, accounts }: MinedTransaction): Log[] {
  return tokens.map(({ account, mint, change }) => ({
    address: mint,
    topics: ['change', accounts[account] ?? ''],
    data: `${change}`,
    index: account,
  }))
}

/** The log that says which message was mined: the fee payer's address, and the SHA-256 of what was signed. */
function messageLog(transaction: Transaction): Log {
  const [feePayer = new Uint8Array()] = transaction.accounts
  return { address: encodeBase58(feePayer), topics: ['message'], data: messageHash(transaction), index: 0 }
}

/** What a mined transaction shows of itself: the SHA-256 of its message in hex, and what it changed in token accounts. */
export type Effects = { readonly message: string | undefined; changeOf(account: string, mint: string): bigint }

/** Reads the logs of a mined transaction back: Solana has no events, so a writer tells the balances it changed in their place. */
export function readEffects(logs: readonly Log[]): Effects {
  return {
    message: logs.find(({ topics }) => topics[0] === 'message')?.data,
    changeOf(account, mint) {
      const change = logs.find(({ address, topics }) => address === mint && topics[0] === 'change' && topics[1] === account)
      return change === undefined ? 0n : BigInt(change.data)
    },
  }
}

const knownSchema = inContext(z.array(z.nullable(z.looseObject({}))))

/** Hands signed bytes to a node; a transaction it already has is no error. Errors: `solana/refused`, `solana/broadcast-unknown`. */
export async function broadcast(rpc: Rpc, { bytes, transaction }: Pick<SignedTransaction, 'bytes' | 'transaction'>): Promise<void> {
  try {
    // What is sent was simulated or checked before, and a preflight would only find that it is there already.
    const params = [bytes, { encoding: 'base64', skipPreflight: true }]
    await rpc.ask({ method: 'sendTransaction', params, result: z.string() })
  } catch (error) {
    if (!isX402Error(error, 'solana/call-failed'))
      throw solanaErrors('solana/broadcast-unknown', { host: rpc.host, transaction, cause: error })
    if (/AlreadyProcessed|already been processed/i.test(error.message)) return
    // A blockhash that ran out is also what a node says of a transaction that it has long mined.
    const { value } = await rpc
      .ask({ method: 'getSignatureStatuses', params: [[transaction]], result: knownSchema })
      .catch((cause: unknown) => {
        throw solanaErrors('solana/broadcast-unknown', { host: rpc.host, transaction, cause })
      })
    if (value[0] == null) throw solanaErrors('solana/refused', { host: rpc.host, transaction, why: error.message, cause: error })
  }
}
