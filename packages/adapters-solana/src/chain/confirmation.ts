import { coalesce, type Log, type TransactionStatus } from '@flow402x/core'
import * as z from 'zod/mini'
import { encodeBase58 } from './base58.ts'
import { decodeBase64 } from './base64.ts'
import { inContext, type Rpc } from './rpc.ts'
import { decodeTransaction, messageHash, type Transaction } from './transaction.ts'

/** Tells what became of transactions. */
export type Confirmation = { status(signed: { readonly transaction: string; readonly bytes?: string }): Promise<TransactionStatus> }

const statusSchema = inContext(z.array(z.nullable(z.looseObject({ confirmationStatus: z.nullish(z.string()) }))))

// What one getSignatureStatuses takes.
const mostSignatures = 256

// A blockhash is good for 150 blocks, and a node that lags by more slots calls itself unhealthy.
const lifeSlots = 150

const mostSightings = 65_536

/** Asks for many transactions at once, and only as deep as each needs. */
export function confirmations(rpc: Rpc): Confirmation {
  const recent = coalesce(
    async (transactions: readonly string[]) => {
      const { context, value } = await rpc.ask({ method: 'getSignatureStatuses', params: [transactions], result: statusSchema })
      return transactions.map((_, at) => ({ slot: context.slot, found: value[at] ?? null }))
    },
    { most: mostSignatures, atOnce: 4 },
  )
  // The slot at which each transaction was first asked for here: its blockhash is not younger.
  const sightings = new Map<string, number>()

  return {
    async status({ transaction, bytes }) {
      const { slot, found } = await recent(transaction)
      const met = sightings.get(transaction)
      // Older ones are found in the history alone: those of before a restart are looked for there at once.
      const older = found === null && met === undefined ? await history(rpc, transaction) : undefined
      const status = found ?? older?.found
      if (status != null) return status.confirmationStatus === 'processed' ? { state: 'unknown' } : mined(rpc, transaction)
      if (met === undefined) remember(transaction, slot)
      const message =
        bytes === undefined || met === undefined || slot < met + lifeSlots
          ? undefined
          : decodeTransaction(decodeBase64(bytes) ?? new Uint8Array())
      if (message === undefined || met === undefined || !(await isExpired(rpc, { transaction, message, met }))) return { state: 'unknown' }
      sightings.delete(transaction)
      return { state: 'expired' }
    },
  }

  function remember(transaction: string, slot: number): void {
    const [oldest] = sightings.keys()
    if (sightings.size >= mostSightings && oldest !== undefined) sightings.delete(oldest)
    sightings.set(transaction, slot)
  }
}

async function history(rpc: Rpc, transaction: string) {
  const params = [[transaction], { searchTransactionHistory: true }]
  const { context, value } = await rpc.ask({ method: 'getSignatureStatuses', params, result: statusSchema })
  return { slot: context.slot, found: value[0] ?? null }
}

const validitySchema = inContext(z.boolean())

/**
 * Whether a transaction was never mined and never can be (M21). A final block that does not take the blockhash proves it dead only
 * if that block is younger than the blockhash, for a blockhash that is too new is not taken either: so it must stand a whole life after
 * the transaction was first met. The history is asked after that, by a node that is as far.
 */
async function isExpired(
  rpc: Rpc,
  { transaction, message, met }: { transaction: string; message: Transaction; met: number },
): Promise<boolean> {
  const params = [encodeBase58(message.blockhash), { commitment: 'finalized' }]
  const { context, value } = await rpc.ask({ method: 'isBlockhashValid', params, result: validitySchema })
  if (value || context.slot < met + lifeSlots) return false
  const { slot, found } = await history(rpc, transaction)
  return found === null && slot >= context.slot
}

const balancesSchema = z.nullish(
  z.array(
    z.looseObject({
      accountIndex: z.number(),
      mint: z.string(),
      uiTokenAmount: z.looseObject({ amount: z.string().check(z.regex(/^\d{1,20}$/)) }),
    }),
  ),
)

const minedSchema = z.nullable(
  z.looseObject({
    slot: z.number(),
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
      preTokenBalances: balancesSchema,
      postTokenBalances: balancesSchema,
      loadedAddresses: z.nullish(z.looseObject({ writable: z.array(z.string()), readonly: z.array(z.string()) })),
    }),
  }),
)

async function mined(rpc: Rpc, signature: string): Promise<TransactionStatus> {
  const config = { encoding: 'base64', commitment: 'confirmed', maxSupportedTransactionVersion: 0 }
  const found = await rpc.ask({ method: 'getTransaction', params: [signature, config], result: minedSchema })
  if (found?.transaction === undefined) return { state: 'unknown' }
  const { slot, transaction, meta } = found
  const loaded = [...(meta.loadedAddresses?.writable ?? []), ...(meta.loadedAddresses?.readonly ?? [])]
  const accounts = [...transaction.accounts.map(encodeBase58), ...loaded]
  const success = meta.err == null
  return { state: 'mined', success, block: BigInt(slot), logs: [messageLog(transaction), ...(success ? balanceLogs(meta, accounts) : [])] }
}

type Balances = Pick<NonNullable<z.infer<typeof minedSchema>>['meta'], 'preTokenBalances' | 'postTokenBalances'>

function balanceLogs({ preTokenBalances, postTokenBalances }: Balances, accounts: readonly string[]): Log[] {
  const changes = new Map<string, { account: number; mint: string; change: bigint }>()
  const note = (balances: Balances['preTokenBalances'], sign: bigint): void => {
    for (const { accountIndex: account, mint, uiTokenAmount } of balances ?? []) {
      const key = `${account} ${mint}`
      const change = (changes.get(key)?.change ?? 0n) + sign * BigInt(uiTokenAmount.amount)
      changes.set(key, { account, mint, change })
    }
  }
  note(preTokenBalances, -1n)
  note(postTokenBalances, 1n)
  return [...changes.values()].flatMap(({ account, mint, change }) =>
    change === 0n ? [] : [{ address: mint, topics: ['change', accounts[account] ?? ''], data: `${change}`, index: account }],
  )
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
