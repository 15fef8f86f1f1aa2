import { type Address, address, type EncodedAccount, type MaybeEncodedAccount } from '@solana/kit'
import { getMintDecoder, getTokenDecoder, type Mint, type Token } from '@solana-program/token'

/** The two programs that keep tokens. */
export const tokenPrograms = {
  'spl-token': address('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA'),
  'spl-token-2022': address('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb'),
} as const

/** An amount of a token in the shape that Solana's RPC gives it. */
export type UiAmount = {
  readonly amount: string
  readonly decimals: number
  readonly uiAmount: number | null
  readonly uiAmountString: string
}

/** What an account of a transaction held of a token, before or after it. */
export type TokenBalance = {
  readonly accountIndex: number
  readonly mint: Address
  readonly owner: Address
  readonly programId: Address
  readonly uiTokenAmount: UiAmount
}

const mintLength = 82
const tokenLength = 165
/** Token-2022 says behind the common fields which kind an account with extensions is. */
const kinds = { mint: 1, token: 2 } as const

/** An account that was read, which may not exist. */
export type Found = EncodedAccount | MaybeEncodedAccount

/** The account, if it exists. */
export function existing(account: Found): EncodedAccount | undefined {
  return 'exists' in account && !account.exists ? undefined : account
}

/** The name of the program that keeps an account, if it is one of the two. */
export function tokenProgramOf({ programAddress }: EncodedAccount): keyof typeof tokenPrograms | undefined {
  if (programAddress === tokenPrograms['spl-token']) return 'spl-token'
  return programAddress === tokenPrograms['spl-token-2022'] ? 'spl-token-2022' : undefined
}

/** Reads an initialized token account. */
export function readToken(found: Found): (Token & { readonly programAddress: Address }) | undefined {
  const account = existing(found)
  if (account === undefined || !isKind(account, 'token')) return undefined
  const token = getTokenDecoder().decode(account.data)
  return token.state === 0 ? undefined : { ...token, programAddress: account.programAddress }
}

/** Reads an initialized mint. */
export function readMint(found: Found): Mint | undefined {
  const account = existing(found)
  if (account === undefined || !isKind(account, 'mint')) return undefined
  const mint = getMintDecoder().decode(account.data)
  return mint.isInitialized ? mint : undefined
}

function isKind(account: EncodedAccount, kind: keyof typeof kinds): boolean {
  if (tokenProgramOf(account) === undefined) return false
  const { length } = account.data
  return length === (kind === 'mint' ? mintLength : tokenLength) || (length > tokenLength && account.data[tokenLength] === kinds[kind])
}

/** Atomic units as people read them. */
export function uiAmount(amount: bigint, decimals: number): UiAmount {
  const digits = amount.toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  const uiAmountString = fraction === '' ? whole : `${whole}.${fraction}`
  return { amount: amount.toString(), decimals, uiAmount: Number(uiAmountString), uiAmountString }
}
