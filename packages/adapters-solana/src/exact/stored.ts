import { encodeBase58 } from '../chain/base58.ts'
import type { StoredAccount } from '../chain/reader.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import type { Transaction } from '../chain/transaction.ts'
import type { MintFacts } from './wire.ts'

const mintSize = 82
const decimalsAt = 44
const initializedAt = 45

/** What is wrong with a mint as the chain keeps it, or nothing: its program, its decimals, what Token-2022 does at a transfer. */
export function faultOfMint(account: StoredAccount, { program, decimals }: MintFacts): string | undefined {
  const { owner, data } = account
  if (owner !== program.address) return `its program is ${owner}, not ${program.address}`
  if (data.length < mintSize || data[initializedAt] !== 1) return 'it is no mint'
  if (data[decimalsAt] !== decimals) return `it has ${data[decimalsAt]} decimals, not ${decimals}`
  return data.length === mintSize ? undefined : faultOfExtensions(data)
}

// Token-2022: padding up to the size of a token account, one byte for the kind, then type, length and value of each extension.
const extensionsAt = 166
const transferFeeConfig = 1
const transferHook = 14

function faultOfExtensions(data: Uint8Array): string | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  for (let at = extensionsAt; at + 4 <= data.length; ) {
    const [type, size] = [view.getUint16(at, true), view.getUint16(at + 2, true)]
    const value = data.subarray(at + 4, at + 4 + size)
    if (type === 0) return undefined
    if (value.length < size) return 'its extensions cannot be read'
    // Both the fee of before and the next one; a configuration without any fee is only a possibility.
    if (type === transferFeeConfig && [88, 106].some((rate) => value[rate] !== 0 || value[rate + 1] !== 0))
      return 'it takes a fee of transfers'
    if (type === transferHook && value.subarray(32).some((byte) => byte !== 0)) return 'it runs a hook at transfers'
    at += 4 + size
  }
  return undefined
}

const amountAt = 64

/** What a token account holds, or nothing for what is none. */
export function heldBy(account: StoredAccount | undefined): bigint | undefined {
  if (account === undefined || account.data.length < amountAt + 8) return undefined
  const { data } = account
  return new DataView(data.buffer, data.byteOffset, data.length).getBigUint64(amountAt, true)
}

const lookupProgram = 'AddressLookupTab1e1111111111111111111111111'
const tableHead = 56

/**
 * Every account that a transaction names, those of its lookup tables behind its own; nothing when a table does not hold them.
 * Entries of a table never change, so what is read here is what is settled. Errors: those of the chain.
 */
export async function accountsOf(
  transaction: Transaction,
  { chain, signal }: { readonly chain: SolanaChain; readonly signal: AbortSignal | undefined },
): Promise<readonly Uint8Array[] | undefined> {
  const { accounts, lookups } = transaction
  if (lookups.length === 0) return accounts
  const tables = await chain.accounts(
    lookups.map(({ table }) => encodeBase58(table)),
    { signal },
  )
  const loaded = (['writable', 'readonly'] as const).flatMap((kind) =>
    lookups.flatMap((lookup, at) => Array.from(lookup[kind], (index) => entryOf(tables[at], index))),
  )
  const found = loaded.filter((entry) => entry !== undefined)
  return found.length < loaded.length ? undefined : [...accounts, ...found]
}

function entryOf(table: StoredAccount | undefined, index: number): Uint8Array | undefined {
  if (table?.owner !== lookupProgram) return undefined
  const entry = table.data.subarray(tableHead + index * 32, tableHead + (index + 1) * 32)
  return entry.length === 32 ? entry : undefined
}
