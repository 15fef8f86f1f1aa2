import { createHash } from 'node:crypto'
import { type Address, address, type EncodedAccount, getBase58Decoder, getBase58Encoder, type MaybeEncodedAccount } from '@solana/kit'
import type { Message } from './transaction.ts'

const system = address('11111111111111111111111111111111')
// `AdvanceNonceAccount` of the system program, and where the account that it advances keeps its value: behind version, state and authority.
const advance = [4, 0, 0, 0]
const nonceBytes = 80
const initialized = 1
const stateAt = 4
const valueAt = 40

/** The account whose stored nonce a transaction lives by: it must advance it before anything else. */
export function nonceAccountOf({ instructions, staticAccounts }: Message): Address | undefined {
  const [first] = instructions
  const data = first?.data ?? new Uint8Array()
  const [account = -1] = first?.accountIndices ?? []
  if (first === undefined || staticAccounts[first.programAddressIndex] !== system) return undefined
  return data.length === advance.length && advance.every((byte, at) => data[at] === byte) ? staticAccounts[account] : undefined
}

/** The nonce that an account keeps; nothing for one that keeps none. */
export function storedNonce(account: MaybeEncodedAccount): string | undefined {
  if (!account.exists || account.programAddress !== system || account.data.length !== nonceBytes) return undefined
  return account.data[stateAt] === initialized ? getBase58Decoder().decode(account.data.slice(valueAt, valueAt + 32)) : undefined
}

/** The account as a transaction leaves it that lived by its nonce and failed: a live chain takes the nonce with the fee. */
export function advanced(account: EncodedAccount, blockhash: string): EncodedAccount {
  const next = createHash('sha256')
    .update('DURABLE_NONCE')
    .update(Uint8Array.from(getBase58Encoder().encode(blockhash)))
  const data = Uint8Array.from(account.data)
  data.set(next.digest(), valueAt)
  return { ...account, data }
}
