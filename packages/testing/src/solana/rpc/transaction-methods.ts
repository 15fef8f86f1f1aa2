import * as z from 'zod/mini'
import type { Entry, Simulation } from '../ledger/bank.ts'
import { blockhashBlocks, type Commitment } from '../ledger/slots.ts'
import { keysOf, type ReadTransaction, readTransaction } from '../ledger/transaction.ts'
import { refuse, refuseTransaction } from '../refusal.ts'
import { writeAccount } from './account-methods.ts'
import { type Chain, commitmentOf, inContext, type Method, method } from './method.ts'
import { accountConfigSchema, addressSchema, commitmentField, readBytes, signatureSchema, wireEncodingField } from './parameters.ts'
import { returnData, writeInner } from './written-transaction.ts'

const wireSchema = z.string()
const mostStatuses = 256

/** The methods that run transactions and tell what became of them. */
export const transactionMethods: Readonly<Record<string, Method>> = {
  sendTransaction: method(
    z.tuple([
      wireSchema,
      z.optional(
        z.nullish(
          z.looseObject({
            ...wireEncodingField,
            ...commitmentField,
            skipPreflight: z.nullish(z.boolean()),
            preflightCommitment: z.nullish(commitmentField.commitment),
            maxRetries: z.nullish(z.number()),
          }),
        ),
      ),
    ]),
    (chain, [text, config]) => {
      const read = readTransaction(readBytes(text, config?.encoding ?? 'base58'))
      if (config?.skipPreflight !== true) preflight(chain, read, { ...config, commitment: config?.preflightCommitment })
      // Without a preflight nobody is told that the network drops it, as on a live chain.
      chain.bank.submit(read)
      return read.signatures[0]
    },
  ),
  simulateTransaction: method(
    z.tuple([
      wireSchema,
      z.optional(
        z.nullish(
          z.looseObject({
            ...wireEncodingField,
            ...commitmentField,
            sigVerify: z.nullish(z.boolean()),
            replaceRecentBlockhash: z.nullish(z.boolean()),
            innerInstructions: z.nullish(z.boolean()),
            accounts: z.nullish(
              z.looseObject({ addresses: z.array(addressSchema), encoding: z.nullish(z.enum(['base64', 'base64+zstd', 'jsonParsed'])) }),
            ),
          }),
        ),
      ),
    ]),
    (chain, [text, config]) => {
      const commitment = commitmentOf(chain, config)
      const read = readTransaction(readBytes(text, config?.encoding ?? 'base58'))
      const replace = config?.replaceRecentBlockhash === true
      if (replace && config?.sigVerify === true) {
        throw refuse('invalidParameters', 'sigVerify may not be used with replaceRecentBlockhash')
      }
      const simulation = chain.bank.simulate(read, { commitment, signatures: config?.sigVerify === true, blockhash: !replace })
      return inContext(chain, commitment, {
        ...writeSimulation(simulation),
        accounts: config?.accounts ? writeAccounts(chain, simulation, { ...config.accounts, commitment }) : null,
        innerInstructions:
          config?.innerInstructions === true ? writeInner({ ...read, ...simulation, keys: keysIn(chain, read) }, 'jsonParsed') : null,
        replacementBlockhash: replace ? chain.slots.lifetime(commitment) : null,
      })
    },
  ),
  getSignatureStatuses: method(
    z.tuple([z.array(signatureSchema), z.optional(z.nullish(z.looseObject({ searchTransactionHistory: z.nullish(z.boolean()) })))]),
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
}

/** What a node checks before it passes a transaction on. Errors: `testing/solana-refused` with -32002 or -32003. */
function preflight(
  chain: Chain,
  read: ReadTransaction,
  config: { commitment?: Commitment | null | undefined; minContextSlot?: number | null | undefined },
): void {
  const simulation = chain.bank.simulate(read, { commitment: commitmentOf(chain, config), signatures: true, blockhash: true })
  if (simulation.failure === null) return
  const nothing = { accounts: null, innerInstructions: null, replacementBlockhash: null }
  throw refuseTransaction(simulation.failure, { ...writeSimulation(simulation), ...nothing })
}

function writeSimulation({ failure, trace }: Simulation) {
  return { err: failure, logs: trace.logs, unitsConsumed: trace.units, returnData: returnData(trace) }
}

function writeAccounts(
  chain: Chain,
  simulation: Simulation,
  {
    addresses,
    encoding,
    commitment,
  }: { addresses: readonly string[]; encoding?: 'base64' | 'base64+zstd' | 'jsonParsed' | null | undefined; commitment: Commitment },
): unknown {
  // A transaction that failed left no accounts behind.
  if (simulation.failure !== null) return addresses.map(() => null)
  const config = accountConfigSchema.parse({ encoding: encoding ?? 'base64' })
  return addresses.map((address) => {
    const written = simulation.accounts.find((account) => account.address === address)
    return written === undefined ? null : writeAccount(written, { chain, commitment, config })
  })
}

function keysIn({ bank }: Chain, read: ReadTransaction) {
  return keysOf(read.message, (address) => bank.account(address, 'processed'))
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
