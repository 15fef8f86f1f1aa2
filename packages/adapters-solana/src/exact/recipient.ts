import { type Asset, assetOf } from '@flow402x/core'
import { addressBytes, sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import { splToken, token2022 } from '../chain/programs.ts'
import type { SolanaReader, StoredAccount } from '../chain/reader.ts'
import { faultOfMint } from './stored.ts'
import { type MintFacts, payeeAccount } from './wire.ts'

/** A payee whose token account is looked at. */
export type Recipient = { readonly network: string; readonly payTo: string; readonly asset: string; readonly mint: MintFacts }

// The layout of a token account, which both token programs share: mint, owner, amount, and at 108 whether it may be used.
const mintAt = 0
const ownerAt = 32
const stateAt = 108
const leastAccountBytes = 165
const initialized = 1

/** Checks that the mint is as it is known here. Errors: `config/no-token`, `config/mint-mismatch`, those of the reader. */
export async function checkMint(
  reader: Pick<SolanaReader, 'account'>,
  { network, asset, mint }: Recipient,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const account = await reader.account(asset, options)
  if (account === undefined) throw solanaErrors('config/no-token', { network, tokens: asset })
  const why = faultOfMint(account, mint)
  if (why !== undefined) throw solanaErrors('config/mint-mismatch', { asset, network, why })
}

/**
 * Checks that the payee can be paid at all: a payment never creates the account it goes to (D4, H18). Errors:
 * `config/no-token-account`, those of the reader.
 */
export async function checkRecipient(
  reader: SolanaReader,
  { network, payTo, asset, mint }: Recipient,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const address = payeeAccount(payTo, mint)
  if (address === undefined) throw solanaErrors('config/bad-address', { option: 'payTo', address: payTo })
  const account = await reader.account(encodeBase58(address), options)
  const why = fault(account, { payTo, mint })
  if (why !== undefined) throw solanaErrors('config/no-token-account', { network, payTo, asset, account: encodeBase58(address), why })
}

/** An account of a token account would take its rent and could never be spent from. Errors: `config/bad-owner`, those of the reader. */
export async function refuseOwner(
  reader: SolanaReader,
  { owner, signal }: { readonly owner: string; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const stored = await reader.account(owner, { signal })
  if (stored !== undefined && unpayable.includes(stored.owner)) throw solanaErrors('config/bad-owner', { owner })
}

// What these keep are tokens, programs and facts of the chain itself, and nobody's wallet.
const unpayable = [
  splToken.address,
  token2022.address,
  'NativeLoader1111111111111111111111111111111',
  'BPFLoader1111111111111111111111111111111111',
  'BPFLoader2111111111111111111111111111111111',
  'BPFLoaderUpgradeab1e11111111111111111111111',
  'Sysvar1111111111111111111111111111111111111',
]

function fault(account: StoredAccount | undefined, { payTo, mint }: Pick<Recipient, 'payTo' | 'mint'>): string | undefined {
  if (account === undefined) return 'does not exist'
  const { data } = account
  if (account.owner !== mint.program.address || data.length < leastAccountBytes) return 'is no token account'
  if (!sameBytes(data.subarray(mintAt, mintAt + 32), mint.mint)) return 'is for another token'
  if (encodeBase58(data.subarray(ownerAt, ownerAt + 32)) !== payTo) return 'has been given to another owner'
  return data[stateAt] === initialized ? undefined : 'is frozen'
}

/** A token that a seller takes; `told` is what its offers say of it. */
export type PayableAsset = {
  readonly asset: Asset
  readonly mint: MintFacts
  readonly told: { readonly tokenProgram?: string; readonly decimals?: number }
}

/**
 * The token to be paid in, with the facts of its mint. Errors: `config/foreign-asset`, `config/bad-address`, `config/not-a-token`,
 * `config/unknown-asset`.
 */
export function payableAsset(network: string, given: string | Asset | undefined): PayableAsset {
  const asset = typeof given === 'object' ? given : assetOf(network, given)
  const { address, symbol, decimals, transfer } = asset
  if (asset.network !== network) throw solanaErrors('config/foreign-asset', { asset: symbol, network: asset.network, wanted: network })
  const bytes = addressBytes(address)
  if (bytes === undefined) throw solanaErrors('config/bad-address', { option: `The address of ${symbol}`, address })
  if (transfer !== 'spl-token' && transfer !== 'token-2022') throw solanaErrors('config/not-a-token', { network, asset: symbol })
  const mint: MintFacts = { mint: bytes, decimals, program: transfer === 'token-2022' ? token2022 : splToken }
  // Of a token in the table a payer knows these; of another they spare him a question to the chain.
  const told = typeof given === 'object' ? { tokenProgram: mint.program.address, decimals } : {}
  return { asset, mint, told }
}
