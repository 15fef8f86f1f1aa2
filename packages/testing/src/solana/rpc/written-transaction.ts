import { getBase58Decoder } from '@solana/kit'
import type { Entry, Trace } from '../ledger/bank.ts'
import { type Key, lookupsOf, type Message } from '../ledger/transaction.ts'
import { refuse } from '../refusal.ts'
import type { TransactionEncoding } from './parameters.ts'
import { type Call, memoPrograms, parsedInstruction } from './parsed-instruction.ts'

/** How a client wants to read a transaction. */
export type Reading = {
  readonly encoding?: TransactionEncoding | null | undefined
  readonly maxSupportedTransactionVersion?: number | null | undefined
}

type Style = { readonly keys: readonly Key[]; readonly encoding: TransactionEncoding }

/** A transaction of a block, with what it did. Errors: `testing/solana-refused` with -32015 for a version the client did not ask for. */
export function writeEntry(entry: Entry, { encoding, maxSupportedTransactionVersion }: Reading): Record<string, unknown> {
  const { version } = entry.read.message
  if (maxSupportedTransactionVersion == null && version !== 'legacy') {
    const why = `Transaction version (${version}) is not supported by the requesting client. `
    throw refuse(
      'unsupportedVersion',
      `${why}Please try the request again with the following configuration parameter: "maxSupportedTransactionVersion": ${version}`,
    )
  }
  return {
    transaction: writeTransaction(entry, encoding ?? 'json'),
    meta: writeMeta(entry, encoding ?? 'json'),
    ...(maxSupportedTransactionVersion == null ? {} : { version }),
  }
}

function writeTransaction({ read, keys }: Entry, encoding: TransactionEncoding): unknown {
  const { message, signatures, wire } = read
  if (encoding === 'base64') return [Buffer.from(wire).toString('base64'), encoding]
  if (encoding === 'base58') return [getBase58Decoder().decode(wire), encoding]
  const parsed = encoding === 'jsonParsed'
  const { numSignerAccounts, numReadonlySignerAccounts, numReadonlyNonSignerAccounts } = message.header
  const header = {
    numRequiredSignatures: numSignerAccounts,
    numReadonlySignedAccounts: numReadonlySignerAccounts,
    numReadonlyUnsignedAccounts: numReadonlyNonSignerAccounts,
  }
  const addressTableLookups = lookupsOf(message).map((lookup) => ({
    ...lookup,
    accountKey: lookup.lookupTableAddress,
    lookupTableAddress: undefined,
  }))
  return {
    signatures,
    message: {
      ...(parsed ? {} : { header }),
      accountKeys: parsed ? keys.map(({ address, ...key }) => ({ pubkey: address, ...key })) : message.staticAccounts,
      recentBlockhash: message.lifetimeToken,
      instructions: callsOf(message).map((call) => writeInstruction(call, { keys, encoding })),
      ...(message.version === 'legacy' ? {} : { addressTableLookups }),
    },
  }
}

function writeMeta(entry: Entry, encoding: TransactionEncoding): unknown {
  const { failure, fee, before, after, trace, keys } = entry
  const loaded = (writable: boolean) =>
    keys.flatMap((key) => (key.source === 'lookupTable' && key.writable === writable ? [key.address] : []))
  return {
    err: failure,
    status: failure === null ? { Ok: null } : { Err: failure },
    fee,
    preBalances: before.lamports,
    postBalances: after.lamports,
    innerInstructions: writeInner(entry, encoding),
    logMessages: trace.logs,
    preTokenBalances: before.tokens,
    postTokenBalances: after.tokens,
    rewards: [],
    // `jsonParsed` shows these among the keys of the message.
    ...(encoding === 'jsonParsed' ? {} : { loadedAddresses: { writable: loaded(true), readonly: loaded(false) } }),
    ...(trace.returned === null ? {} : { returnData: returnData(trace) }),
    computeUnitsConsumed: trace.units,
  }
}

/** What the program that ran last returned. */
export function returnData({ returned }: Trace): unknown {
  return returned && { programId: returned.programId, data: [Buffer.from(returned.data).toString('base64'), 'base64'] }
}

/** The instructions that programs called, grouped by the transaction's own. */
export function writeInner({ keys, trace }: Pick<Entry, 'keys' | 'trace'>, encoding: TransactionEncoding): unknown {
  return trace.inner.map(({ index, instructions }) => ({
    index,
    instructions: instructions.map((call) => writeInstruction(call, { keys, encoding })),
  }))
}

/** The memos of a transaction with their lengths, as lists of signatures show them; null where it has none. */
export function memosOf(message: Message): string | null {
  const memos = callsOf(message).filter(({ programIdIndex }) => memoPrograms.includes(message.staticAccounts[programIdIndex] ?? ''))
  return memos.length === 0 ? null : memos.map(({ data }) => `[${data.length}] ${Buffer.from(data).toString('utf8')}`).join('; ')
}

function callsOf({ instructions }: Message): Call[] {
  return instructions.map(({ programAddressIndex, accountIndices = [], data = new Uint8Array() }) => ({
    programIdIndex: programAddressIndex,
    accounts: accountIndices,
    data: Uint8Array.from(data),
    stackHeight: 1,
  }))
}

function writeInstruction(call: Call, { keys, encoding }: Style): unknown {
  return encoding === 'jsonParsed' ? parsedInstruction(call, keys) : { ...call, data: getBase58Decoder().decode(call.data) }
}
