import { AccountRole, type Address, address, getAddressDecoder, getBase58Decoder } from '@solana/kit'
import { parseTokenInstruction, TokenInstruction } from '@solana-program/token'
import * as z from 'zod/mini'
import type { Key } from '../ledger/transaction.ts'
import { tokenPrograms, uiAmount } from '../tokens.ts'

/** An instruction whose accounts are numbers of its transaction's. */
export type Call = {
  readonly programIdIndex: number
  readonly accounts: readonly number[]
  readonly data: Uint8Array
  readonly stackHeight: number | null
}

type Parsed = { readonly program: string; readonly parsed: unknown }
type Parser = (data: Uint8Array, accounts: readonly Address[]) => Parsed | undefined

/** The programs that put text into the logs. */
export const memoPrograms = ['MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr', 'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo']

const system = address('11111111111111111111111111111111')

/** The programs whose instructions are told in words. */
const parsers: Readonly<Record<string, Parser>> = {
  [system]: parseSystem,
  [tokenPrograms['spl-token']]: (data, accounts) => parseToken(data, { accounts, program: 'spl-token' }),
  [tokenPrograms['spl-token-2022']]: (data, accounts) => parseToken(data, { accounts, program: 'spl-token-2022' }),
  ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL: parseAssociatedToken,
  ...Object.fromEntries(memoPrograms.map((program) => [program, parseMemo])),
}

/** An instruction as `jsonParsed` shows it: in words where it is a common one of a well-known program, else as it is. */
export function parsedInstruction({ programIdIndex, accounts, data, stackHeight }: Call, keys: readonly Key[]): unknown {
  const at = (index: number): Address => keys[index]?.address ?? system
  const programId = at(programIdIndex)
  const addresses = accounts.map(at)
  const parsed = parsers[programId]?.(data, addresses)
  return parsed === undefined
    ? { programId, accounts: addresses, data: getBase58Decoder().decode(data), stackHeight }
    : { ...parsed, programId, stackHeight }
}

function parseMemo(data: Uint8Array): Parsed {
  return { program: 'spl-memo', parsed: Buffer.from(data).toString('utf8') }
}

function parseSystem(data: Uint8Array, [source, other]: readonly Address[]): Parsed | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (data.length < 12 || other === undefined) return undefined
  const [kind, lamports] = [view.getUint32(0, true), view.getBigUint64(4, true)]
  if (kind === 2) return { program: 'system', parsed: { type: 'transfer', info: { source, destination: other, lamports } } }
  if (kind !== 0 || data.length !== 52) return undefined
  const info = {
    source,
    newAccount: other,
    lamports,
    space: view.getBigUint64(12, true),
    owner: getAddressDecoder().decode(data.slice(20)),
  }
  return { program: 'system', parsed: { type: 'createAccount', info } }
}

function parseAssociatedToken(
  data: Uint8Array,
  [source, account, wallet, mint, systemProgram, tokenProgram]: readonly Address[],
): Parsed | undefined {
  const kind = data[0] ?? 0
  if (kind > 1 || tokenProgram === undefined) return undefined
  const info = { source, account, wallet, mint, systemProgram, tokenProgram }
  return { program: 'spl-associated-token-account', parsed: { type: kind === 0 ? 'create' : 'createIdempotent', info } }
}

/** Behind these, the instructions of the two token programs differ. */
const lastOfBoth = TokenInstruction.UiAmountToAmount

function parseToken(data: Uint8Array, { accounts, program }: { accounts: readonly Address[]; program: string }): Parsed | undefined {
  if ((data[0] ?? 0) > lastOfBoth) return undefined
  const metas = accounts.map((one) => ({ address: one, role: AccountRole.READONLY }))
  try {
    const call = parseTokenInstruction({ programAddress: tokenPrograms['spl-token'], accounts: metas, data })
    const named = Object.entries('accounts' in call ? call.accounts : {}).flatMap(([name, meta]) =>
      meta === undefined ? [] : [[name, meta.address] as const],
    )
    const info = { ...Object.fromEntries(named.map(accountName)), ...amounts(dataSchema.parse(call.data)), ...signers(named, accounts) }
    return { program, parsed: { type: lowerFirst(TokenInstruction[call.instructionType]), info } }
  } catch {
    // Accounts or data are missing, so the program itself will have refused it.
    return undefined
  }
}

function accountName([name, value]: readonly [string, Address]): readonly [string, Address] {
  return [name === 'token' ? 'account' : name, value]
}

const dataSchema = z.looseObject({ amount: z.optional(z.bigint()), decimals: z.optional(z.number()) })

/** The fields of the data: an amount with decimals is told as one, and bigints as text. */
function amounts({ discriminator: _, amount, decimals, ...rest }: z.infer<typeof dataSchema>): Record<string, unknown> {
  if (amount === undefined) return decimals === undefined ? rest : { decimals, ...rest }
  return decimals === undefined ? { amount: amount.toString(), ...rest } : { tokenAmount: uiAmount(amount, decimals), ...rest }
}

/** Accounts behind the named ones are the signers of a multisignature owner, whose field then has another name. */
function signers(named: readonly (readonly [string, Address])[], accounts: readonly Address[]): Record<string, unknown> {
  const last = named.at(-1)
  if (last === undefined || accounts.length <= named.length) return {}
  const [name, value] = last
  return { [name]: undefined, [`multisig${name.charAt(0).toUpperCase()}${name.slice(1)}`]: value, signers: accounts.slice(named.length) }
}

function lowerFirst(text: string): string {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`
}
