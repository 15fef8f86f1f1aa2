import { type Address, type EncodedAccount, type Option, unwrapOption } from '@solana/kit'
import type { Mint } from '@solana-program/token'
import { readMint, readToken, tokenProgramOf, uiAmount } from '../tokens.ts'

/** An account of a token program as `jsonParsed` shows it, without its extensions; undefined for any other account. */
export function parsedAccount(account: EncodedAccount, mintOf: (address: Address) => Mint | undefined): unknown {
  const program = tokenProgramOf(account)
  if (program === undefined) return undefined
  const parsed = parsedToken(account, mintOf) ?? parsedMint(account)
  return parsed && { program, parsed, space: account.space }
}

function parsedToken(account: EncodedAccount, mintOf: (address: Address) => Mint | undefined): unknown {
  const token = readToken(account)
  const decimals = token && mintOf(token.mint)?.decimals
  if (token === undefined || decimals === undefined) return undefined
  const delegate = unwrapOption(token.delegate)
  const reserve = unwrapOption(token.isNative)
  return {
    type: 'account',
    info: {
      mint: token.mint,
      owner: token.owner,
      tokenAmount: uiAmount(token.amount, decimals),
      state: token.state === 2 ? 'frozen' : 'initialized',
      isNative: reserve !== null,
      ...(reserve === null ? {} : { rentExemptReserve: uiAmount(reserve, decimals) }),
      ...(delegate === null ? {} : { delegate, delegatedAmount: uiAmount(token.delegatedAmount, decimals) }),
      ...named('closeAuthority', token.closeAuthority),
    },
  }
}

function parsedMint(account: EncodedAccount): unknown {
  const mint = readMint(account)
  return (
    mint && {
      type: 'mint',
      info: {
        mintAuthority: unwrapOption(mint.mintAuthority),
        supply: mint.supply.toString(),
        decimals: mint.decimals,
        isInitialized: mint.isInitialized,
        freezeAuthority: unwrapOption(mint.freezeAuthority),
      },
    }
  )
}

function named(name: string, value: Option<Address>): Record<string, Address> {
  const present = unwrapOption(value)
  return present === null ? {} : { [name]: present }
}
