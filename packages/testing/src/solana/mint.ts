import { type Address, type EncodedAccount, getAddressEncoder, lamports } from '@solana/kit'
import { getMintEncoder } from '@solana-program/token'
import { solanaOwner } from './accounts.ts'
import { tokenPrograms } from './tokens.ts'

/** What a mint of a local chain shall be. */
export type MintOptions = {
  readonly decimals: number
  /** The program that keeps it; an extension needs `spl-token-2022`, which is then the default. */
  readonly program?: keyof typeof tokenPrograms
  /** Token-2022 withholds this part of every transfer from its receiver: basis points, and at most `maximum` atomic units. */
  readonly transferFee?: { readonly basisPoints: number; readonly maximum: bigint }
  /** Token-2022 calls this program in every transfer, which must name its address among the accounts. */
  readonly transferHook?: Address
}

/** The bytes before Token-2022's extensions: a mint is filled up to the length of a token account, then says that it is a mint. */
const extensionsAt = 166
const mintKind = 1

/** A mint as its program would have written it; the development account `owner` mints and freezes. */
export function mintAccount(address: Address, { decimals, transferFee, transferHook, program }: MintOptions): EncodedAccount {
  const authority = getAddressEncoder().encode(solanaOwner.address)
  const extensions = [
    ...(transferFee === undefined
      ? []
      : [extension(1, [...authority, ...authority, ...u64(0n), ...fee(transferFee), ...fee(transferFee)])]),
    ...(transferHook === undefined ? [] : [extension(14, [...authority, ...getAddressEncoder().encode(transferHook)])]),
  ].flat()
  const { address: owner } = solanaOwner
  const base = getMintEncoder().encode({ mintAuthority: owner, supply: 0n, decimals, isInitialized: true, freezeAuthority: owner })
  const data = new Uint8Array(extensions.length === 0 ? base.length : extensionsAt + extensions.length)
  data.set(base)
  if (extensions.length > 0) data.set([mintKind, ...extensions], extensionsAt - 1)
  const kept = program ?? (extensions.length === 0 ? 'spl-token' : 'spl-token-2022')
  return {
    address,
    data,
    executable: false,
    lamports: lamports(1_000_000_000n),
    programAddress: tokenPrograms[kept],
    space: BigInt(data.length),
  }
}

function extension(type: number, value: readonly number[]): number[] {
  return [...u16(type), ...u16(value.length), ...value]
}

/** A fee from the first epoch on. */
function fee({ basisPoints, maximum }: NonNullable<MintOptions['transferFee']>): number[] {
  return [...u64(0n), ...u64(maximum), ...u16(basisPoints)]
}

function u16(value: number): number[] {
  return [value & 0xff, value >> 8]
}

function u64(value: bigint): number[] {
  return [...new Uint8Array(BigUint64Array.of(value).buffer)]
}
