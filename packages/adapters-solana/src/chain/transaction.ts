import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex } from '@noble/hashes/utils'
import { sameBytes } from './address.ts'
import { system } from './programs.ts'

/** One instruction as it stands in a message; `program` and `accounts` are indices into the accounts of the transaction. */
export type Instruction = { readonly program: number; readonly accounts: Uint8Array; readonly data: Uint8Array }

/** A lookup table that a message takes accounts from: its address, and indices into its list. */
export type Lookup = { readonly table: Uint8Array; readonly writable: Uint8Array; readonly readonly: Uint8Array }

/** A transaction as it travels, taken apart; every byte string is a view of `bytes` and not to be changed. */
export type Transaction = {
  readonly bytes: Uint8Array
  readonly signatures: readonly Uint8Array[]
  /** What is signed. */
  readonly message: Uint8Array
  readonly version: 'legacy' | 0
  /** The accounts in the message itself; the first `signatures.length` sign, and the very first pays the fee. */
  readonly accounts: readonly Uint8Array[]
  readonly blockhash: Uint8Array
  readonly instructions: readonly Instruction[]
  readonly lookups: readonly Lookup[]
}

/** The most bytes a transaction may have: what fits a packet. */
export const mostTransactionBytes = 1232

const signatureSize = 64
const addressSize = 32
// Indices are bytes.
const mostAccounts = 256

/**
 * Takes a wire transaction apart, legacy or version 0, or says nothing for bytes that no validator would read: counts must be
 * written in their shortest form and every byte accounted for, so that one message has one spelling (M11).
 */
export function decodeTransaction(bytes: Uint8Array): Transaction | undefined {
  if (bytes.length > mostTransactionBytes) return undefined
  const read = reader(bytes)
  const signatures = read.list(() => read.take(signatureSize))
  const start = read.at()
  const first = read.byte()
  // The top bit tells a versioned message, whose header starts one byte later; of versions only 0 exists.
  const version = first === 0x80 ? 0 : 'legacy'
  if (first > 0x80) return undefined
  const required = version === 0 ? read.byte() : first
  const [readonlySigned, readonlyUnsigned] = [read.byte(), read.byte()]
  const accounts = read.list(() => read.take(addressSize))
  const blockhash = read.take(addressSize)
  const instructions = read.list(() => ({ program: read.byte(), accounts: read.list8(), data: read.list8() }))
  const lookups = version === 0 ? read.list(() => ({ table: read.take(addressSize), writable: read.list8(), readonly: read.list8() })) : []
  if (read.failed() || read.at() !== bytes.length) return undefined
  const message = bytes.subarray(start)
  const transaction: Transaction = { bytes, signatures, message, version, accounts, blockhash, instructions, lookups }
  const sound = signatures.length === required && readonlySigned < required && required + readonlyUnsigned <= accounts.length
  return sound && areIndicesSound(transaction) && areDistinct(accounts) ? transaction : undefined
}

/** What makes a transaction itself, whatever stands in its signature slots: the SHA-256 of its message, in hex (A4). */
export function messageHash({ message }: Pick<Transaction, 'message'>): string {
  return bytesToHex(sha256(message))
}

/** The same transaction with the signature of one of its signers filled in: 0 is the fee payer's. */
export function withSignature({ bytes }: Transaction, { signature, signer }: { signature: Uint8Array; signer: number }): Uint8Array {
  const signed = new Uint8Array(bytes)
  // One byte counts the signatures: a transaction has no room for 128 of them.
  signed.set(signature, 1 + signer * signatureSize)
  return signed
}

/**
 * Whether an instruction names the fee payer among its accounts (A5). He stands at index 0 and nowhere else: the message's own accounts
 * are distinct, and the runtime refuses a transaction that loads one of them from a lookup table once more.
 */
export function namesFeePayer({ instructions }: Transaction): boolean {
  return instructions.some(({ accounts: named }) => named.includes(0))
}

// `AdvanceNonceAccount` of the system program.
const advanceNonce = Uint8Array.of(4, 0, 0, 0)

/** The account whose nonce a transaction lives by in the place of a blockhash: it advances it first, whatever else becomes of it. */
export function nonceAccountOf({ accounts, instructions }: Transaction): Uint8Array | undefined {
  const [first] = instructions
  const program = accounts[first?.program ?? -1]
  if (first === undefined || program === undefined || !sameBytes(program, system.bytes)) return undefined
  return sameBytes(first.data, advanceNonce) ? accounts[first.accounts[0] ?? -1] : undefined
}

// The rules by which validators refuse a message before they look at anything else.
function areIndicesSound({ accounts, instructions, lookups }: Transaction): boolean {
  const loaded = lookups.reduce((sum, { writable, readonly }) => sum + writable.length + readonly.length, 0)
  const total = accounts.length + loaded
  if (total > mostAccounts || lookups.some(({ writable, readonly }) => writable.length + readonly.length === 0)) return false
  return instructions.every(
    ({ program, accounts: named }) => program > 0 && program < accounts.length && named.every((index) => index < total),
  )
}

function areDistinct(accounts: readonly Uint8Array[]): boolean {
  return accounts.every((account, at) => !accounts.slice(0, at).some((earlier) => sameBytes(earlier, account)))
}

/** Reads on, and remembers where it could not: what it gives from then on means nothing. */
function reader(bytes: Uint8Array) {
  let at = 0
  let failed = false

  function byte(): number {
    const value = bytes[at]
    if (value === undefined) failed = true
    at += 1
    return value ?? 0
  }

  function take(size: number): Uint8Array {
    const part = bytes.subarray(at, at + size)
    if (part.length < size) failed = true
    at += size
    return part
  }

  /** A count of one to three bytes, seven bits each. */
  function count(): number {
    let value = 0
    for (let shift = 0; shift < 21; shift += 7) {
      const part = byte()
      value |= (part & 0x7f) << shift
      if (part < 0x80) {
        if ((part === 0 && shift > 0) || value > 0xffff) failed = true
        return value
      }
    }
    failed = true
    return value
  }

  function list<Item>(readItem: () => Item): Item[] {
    const items: Item[] = []
    for (let left = count(); left > 0 && !failed; left -= 1) items.push(readItem())
    return items
  }

  return { byte, take, list, list8: () => take(count()), at: () => at, failed: () => failed }
}
