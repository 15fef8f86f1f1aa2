import { findAsset, type Sighting, type Submission, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeCalls, decodeWord, hexSchema, multicall3, type Target } from '../../chain/abi.ts'
import type { Receipt } from '../../chain/receipt.ts'
import { type LookOptions, lookFor } from '../../checks/look.ts'
import { toSeconds } from '../../checks/signed.ts'
import { spendingTopics } from '../../exact/evidence.ts'
import { tracedCalls } from '../../permit2/look.ts'
import { batchSettlement } from '../channel.ts'
import { batchReason } from '../wire.ts'
import type { Deposit } from './deposit.ts'
import { depositIn, depositTopics, type SoughtDeposit } from './evidence.ts'

/** The deposit as its events show it. */
export function soughtOf({ channelConfig: { payer, token }, channelId, amount, nonce }: Deposit): SoughtDeposit {
  return { channelId, payer, token, amount, nonce }
}

/** What the chain says of a deposit (`lookFor`). Errors: `evm/rpc`, `evm/call-failed`. */
export function lookAtDeposit(deposit: Deposit, { requirements }: Submission, options: LookOptions): Promise<Sighting> {
  const { network, maxTimeoutSeconds } = requirements
  const {
    channelConfig,
    channelId,
    amount,
    nonce,
    window: { until },
    spent,
  } = deposit
  const { payer, token } = channelConfig
  const logs =
    nonce === undefined
      ? { address: batchSettlement, topics: depositTopics(channelId) }
      : { address: token, topics: spendingTopics({ from: payer, nonce }) }
  return lookFor(
    {
      ...{ network, payer, deadAfter: toSeconds(until), until, maxTimeoutSeconds, spent, logs },
      telling: nonce !== undefined,
      async settledIn(receipt) {
        const log = receipt.success ? depositIn(receipt.logs, soughtOf(deposit)) : undefined
        if (log === undefined) return undefined
        const isOwn = nonce !== undefined || (await isCalled(deposit, { ...options, network, receipt }))
        if (isOwn !== true) return isOwn === false ? undefined : 'unclear'
        return { status: 'settled', transaction: receipt.transaction, network, payer, amount: `${amount}`, logIndex: log.index }
      },
      reasons: {
        expired: batchReason(nonce === undefined ? 'permit2_deadline_expired' : 'payload_authorization_valid_before'),
        spent: batchReason('deposit_simulation_failed'),
      },
    },
    options,
  )
}

const sentSchema = z.nullable(z.looseObject({ to: z.nullish(hexSchema), input: hexSchema }))

/** Whether a transaction called for this very deposit by Permit2, which tells no nonce in its events; nothing where that does not show. */
async function isCalled(
  deposit: Deposit,
  {
    rpc,
    signal,
    network,
    receipt: { transaction },
  }: Pick<LookOptions, 'rpc' | 'signal'> & { readonly network: string; readonly receipt: Receipt },
): Promise<boolean | undefined> {
  const traced = await tracedCalls(transaction, { rpc, signal })
  if (traced !== undefined) return traced.some((call) => isSame(call, deposit))
  const sent = await rpc.ask({ method: 'eth_getTransactionByHash', params: [transaction], result: sentSchema }, { signal })
  if (sent?.to == null) return undefined
  const calls = sameAddress(sent.to, multicall3) ? decodeCalls(sent.input) : [{ target: sent.to, data: sent.input }]
  // Tokens of the table never call the escrow, so that nothing but what is seen can have made the deposit.
  const isOpen = calls?.every(({ target }) => sameAddress(target, batchSettlement) || findAsset(network, target) !== undefined)
  // Another deposit of the same amount, and a call for this one that failed beside it, would look the same.
  const alike = calls?.filter((call) => startsAlike(call, deposit, amountEnds)) ?? []
  return isOpen === true && alike.length === 1 ? alike.some((call) => isSame(call, deposit)) : undefined
}

// In words of calldata: channel and amount; the collector; where the collector's data begins, nonce and deadline first.
const amountEnds = 8
const collectorEnds = 9
const signedAt = collectorEnds + 2

/** Whether a call of the escrow says the same as a deposit's own in its first words. */
function startsAlike({ target, data }: Target, { calls }: Deposit, words: number): boolean {
  const [head, own] = [data, calls.at(-1)?.data].map((hex) => hex?.slice(0, 10 + words * 64).toLowerCase())
  return sameAddress(target, batchSettlement) && head === own
}

function isSame(call: Target, deposit: Deposit): boolean {
  const own = deposit.calls.at(-1)?.data ?? '0x'
  const signed = [signedAt, signedAt + 1].map((word) => [wordAt(call.data, word), wordAt(own, word)])
  return startsAlike(call, deposit, collectorEnds) && signed.every(([given, wanted]) => given !== undefined && given === wanted)
}

function wordAt(data: `0x${string}`, word: number): bigint | undefined {
  return decodeWord(`0x${data.slice(10)}`, word)
}
