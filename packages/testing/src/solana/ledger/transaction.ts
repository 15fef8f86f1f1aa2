import { createHash } from 'node:crypto'
import type { X402Error } from '@flow402x/core'
import {
  type Address,
  type Codec,
  type CompiledTransactionMessage,
  getAddressDecoder,
  getBase58Decoder,
  getCompiledTransactionMessageCodec,
  getTransactionCodec,
  type MaybeEncodedAccount,
  type Transaction,
} from '@solana/kit'
import { refuse } from '../refusal.ts'

/** The versions of a message that the local chain runs. */
export type Message = Exclude<CompiledTransactionMessage, { version: 1 }> & { readonly lifetimeToken: string }

/** A transaction of the wire, read and found to be in order; its signatures are not checked. */
export type ReadTransaction = {
  readonly wire: Uint8Array
  readonly transaction: Transaction
  readonly message: Message
  /** In base58; one that is missing is all zeros. */
  readonly signatures: readonly string[]
  /** The hash of the message: the same for every set of signatures, as a validator counts duplicates. */
  readonly id: string
}

/** An account that a transaction names, in the order by which instructions count them. */
export type Key = {
  readonly address: Address
  readonly signer: boolean
  readonly writable: boolean
  readonly source: 'transaction' | 'lookupTable'
}

/** A packet of the network holds no more. */
const longestTransaction = 1232

/** Reads a transaction of the wire. Errors: `testing/solana-refused` with -32602. */
export function readTransaction(wire: Uint8Array): ReadTransaction {
  if (wire.length > longestTransaction) {
    throw refuse(
      'invalidParameters',
      `decoded solana_transaction::versioned::VersionedTransaction too large: ${wire.length} bytes (max: ${longestTransaction} bytes)`,
    )
  }
  const { transaction, message } = decode(wire)
  sanitize(message, Object.keys(transaction.signatures).length)
  return {
    wire,
    transaction,
    message,
    signatures: Object.values(transaction.signatures).map((signature) => getBase58Decoder().decode(signature ?? new Uint8Array(64))),
    id: createHash('sha256').update(Uint8Array.from(transaction.messageBytes)).digest('base64'),
  }
}

/** Reads a message alone. Errors: `testing/solana-refused` with -32602, or -32015 for version 1. */
export function readMessage(bytes: Uint8Array): Message {
  const message = whole(getCompiledTransactionMessageCodec(), bytes)
  if (message.version === 1 || !('lifetimeToken' in message)) {
    throw refuse('unsupportedVersion', 'Transaction version (1) is not supported by this local chain')
  }
  return { ...message, lifetimeToken: String(message.lifetimeToken) }
}

function decode(wire: Uint8Array): Pick<ReadTransaction, 'transaction' | 'message'> {
  const transaction = whole(getTransactionCodec(), wire)
  return { transaction, message: readMessage(Uint8Array.from(transaction.messageBytes)) }
}

/** Reads what has exactly one spelling: bytes that nobody reads would give the same message a second id. */
function whole<Value>(codec: Codec<Value>, bytes: Uint8Array): Value {
  const { value, spelt } = attempt(() => {
    const value = codec.decode(bytes)
    return { value, spelt: codec.encode(value) }
  })
  if (Buffer.compare(Buffer.from(spelt), bytes) !== 0) throw undecodable('it has bytes that mean nothing')
  return value
}

function attempt<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (cause) {
    throw undecodable(String(cause))
  }
}

function undecodable(why: string): X402Error {
  return refuse('invalidParameters', `failed to deserialize solana_transaction::versioned::VersionedTransaction: ${why}`)
}

/** What a validator checks before it looks at any account. */
function sanitize(message: Message, signatures: number): void {
  const { numSignerAccounts, numReadonlySignerAccounts, numReadonlyNonSignerAccounts } = message.header
  const lookups = lookupsOf(message)
  const loaded = lookups.flatMap(({ writableIndexes, readonlyIndexes }) => [...writableIndexes, ...readonlyIndexes]).length
  const keys = message.staticAccounts.length
  const sound =
    signatures === numSignerAccounts &&
    numReadonlySignerAccounts < numSignerAccounts &&
    numSignerAccounts + numReadonlyNonSignerAccounts <= keys &&
    keys + loaded <= 256 &&
    lookups.every(({ writableIndexes, readonlyIndexes }) => writableIndexes.length + readonlyIndexes.length > 0) &&
    message.instructions.every(
      ({ programAddressIndex, accountIndices = [] }) =>
        programAddressIndex > 0 && programAddressIndex < keys && accountIndices.every((index) => index < keys + loaded),
    )
  if (!sound) throw refuse('invalidParameters', 'invalid transaction: Transaction failed to sanitize accounts offsets correctly')
}

/** The parts of lookup tables that a message loads. */
export function lookupsOf(message: Message): Exclude<Extract<Message, { version: 0 }>['addressTableLookups'], undefined> {
  return 'addressTableLookups' in message ? (message.addressTableLookups ?? []) : []
}

/** All accounts of a message in their order: its own, then the writable and then the read-only ones of its lookup tables. */
export function keysOf(message: Message, account: (address: Address) => MaybeEncodedAccount): Key[] {
  const { numSignerAccounts, numReadonlySignerAccounts, numReadonlyNonSignerAccounts } = message.header
  const own = message.staticAccounts.map((address, index): Key => {
    const signer = index < numSignerAccounts
    const writableUpTo = signer
      ? numSignerAccounts - numReadonlySignerAccounts
      : message.staticAccounts.length - numReadonlyNonSignerAccounts
    return { address, signer, writable: index < writableUpTo, source: 'transaction' }
  })
  const load = (writable: boolean): Key[] =>
    lookupsOf(message).flatMap(({ lookupTableAddress, writableIndexes, readonlyIndexes }) => {
      const table = account(lookupTableAddress)
      const entry = (index: number): Key[] => {
        const bytes = table.exists ? table.data.slice(tableHeader + index * 32, tableHeader + (index + 1) * 32) : new Uint8Array()
        return bytes.length === 32 ? [{ address: getAddressDecoder().decode(bytes), signer: false, writable, source: 'lookupTable' }] : []
      }
      return (writable ? writableIndexes : readonlyIndexes).flatMap(entry)
    })
  return [...own, ...load(true), ...load(false)]
}

/** The addresses of a lookup table stand behind its state. */
const tableHeader = 56
