import type { Signature } from '@solana/kit'
import * as z from 'zod/mini'
import type { Entry } from '../ledger/bank.ts'
import { blockhashBlocks, type Commitment } from '../ledger/slots.ts'
import { refuse } from '../refusal.ts'
import { type Chain, commitmentOf, inContext, type Method, method } from './method.ts'
import { addressSchema, configSchema, countSchema, signatureSchema, transactionEncodingSchema } from './parameters.ts'
import { memosOf, writeEntry } from './written-transaction.ts'

const mostStatuses = 256
const mostSignatures = 1_000
const entryConfig = {
  encoding: z.nullish(transactionEncodingSchema),
  maxSupportedTransactionVersion: z.nullish(countSchema),
}

/** The methods that look back: at transactions, their statuses and blocks. */
export const historyMethods: Readonly<Record<string, Method>> = {
  getSignatureStatuses: method(
    z.tuple([z.array(signatureSchema), configSchema({ searchTransactionHistory: z.nullish(z.boolean()) })]),
    (chain, [signatures, config]) => {
      if (signatures.length > mostStatuses) throw refuse('invalidParameters', `Too many inputs provided; max ${mostStatuses}`)
      const oldest = config?.searchTransactionHistory === true ? 0n : chain.slots.slot('processed') - blockhashBlocks
      const statuses = signatures.map((signature) => {
        const entry = chain.bank.history.get(signature, 'processed')
        return entry === undefined || entry.slot < oldest ? null : statusOf(chain, entry)
      })
      return inContext(chain, 'processed', statuses)
    },
  ),
  getTransaction: method(
    // The encoding alone, as in the first release.
    z.tuple([signatureSchema, z.optional(z.union([transactionEncodingSchema, configSchema(entryConfig)]))]),
    (chain, [signature, given]) => {
      const config = typeof given === 'string' ? { encoding: given } : given
      const entry = chain.bank.history.get(signature, settledCommitment(chain, config))
      return entry === undefined ? null : { slot: entry.slot, blockTime: entry.blockTime, ...writeEntry(entry, config ?? {}) }
    },
  ),
  getSignaturesForAddress: method(
    z.tuple([
      addressSchema,
      configSchema({
        limit: z.nullish(z.number().check(z.int(), z.minimum(1), z.maximum(mostSignatures))),
        before: z.nullish(signatureSchema),
        until: z.nullish(signatureSchema),
      }),
    ]),
    (chain, [address, config]) => {
      const found = chain.bank.history.ofAddress(address, settledCommitment(chain, config))
      const { limit, before, until } = config ?? {}
      return between(found, { before, until })
        .slice(0, limit ?? mostSignatures)
        .map((entry) => ({
          signature: entry.signature,
          slot: entry.slot,
          err: entry.failure,
          memo: memosOf(entry.read.message),
          blockTime: entry.blockTime,
          confirmationStatus: chain.slots.commitmentOf(entry.slot),
        }))
    },
  ),
  getBlock: method(
    z.tuple([countSchema, configSchema({ ...entryConfig, transactionDetails: z.nullish(z.enum(['full', 'signatures', 'none'])) })]),
    ({ slots, bank, ...chain }, [number, config]) => {
      const slot = BigInt(number)
      const blockTime = slots.timeOf(slot)
      if (slot > slots.slot(settledCommitment({ slots, bank, ...chain }, config)) || blockTime === undefined) {
        throw refuse('blockNotAvailable', `Block not available for slot ${slot}`)
      }
      const entries = bank.history.inSlot(slot)
      const details = config?.transactionDetails ?? 'full'
      return {
        blockhash: slots.hashOf(slot),
        previousBlockhash: slots.hashOf(slot - 1n),
        parentSlot: slot - 1n,
        blockHeight: slots.heightOf(slot),
        blockTime,
        rewards: [],
        ...(details === 'full' ? { transactions: entries.map((entry) => writeEntry(entry, config ?? {})) } : {}),
        ...(details === 'signatures' ? { signatures: entries.map(({ signature }) => signature) } : {}),
      }
    },
  ),
}

/** A block that may still be dropped is not looked up. Errors: `testing/solana-refused`. */
function settledCommitment(chain: Chain, config: Parameters<typeof commitmentOf>[1]): Commitment {
  const commitment = commitmentOf(chain, config)
  if (commitment === 'processed') throw refuse('invalidParameters', 'Method does not support commitment below `confirmed`')
  return commitment
}

function between(
  entries: readonly Entry[],
  { before, until }: { readonly before: Signature | null | undefined; readonly until: Signature | null | undefined },
): readonly Entry[] {
  const at = (signature: Signature | null | undefined): number => entries.findIndex((entry) => entry.signature === signature)
  const end = at(until)
  return entries.slice(before == null ? 0 : at(before) + 1, end === -1 ? undefined : end)
}

function statusOf({ slots }: Chain, { slot, failure }: Entry) {
  const confirmationStatus = slots.commitmentOf(slot)
  return {
    slot,
    confirmations: confirmationStatus === 'finalized' ? null : slots.slot('processed') - slot,
    err: failure,
    status: failure === null ? { Ok: null } : { Err: failure },
    confirmationStatus,
  }
}
