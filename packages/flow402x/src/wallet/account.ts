import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { secretKeySender } from '@flow402x/adapters-solana/client'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { networkFamily, type Store } from '@flow402x/core'
import type { TokenAdapter } from '@flow402x/core/token'
import { cliErrors } from '../cli/errors.ts'
import { type FoundKey, findKey, type KeySource, keyVariables } from '../cli/key.ts'

/** A family of chains, by whose keys a wallet signs. */
export type Family = keyof typeof keyVariables

/** Every family there is. */
export const families: readonly Family[] = ['eip155', 'solana']

/** A wallet of one family: the key stays with whoever pays. */
export type Account = { readonly family: Family; readonly address: string; readonly key: FoundKey }

/** The family of a network. Errors: `cli/no-family`. */
export function familyOf(network: string): Family {
  const family = families.find((one) => one === networkFamily(network))
  if (family === undefined) throw cliErrors('cli/no-family', { network })
  return family
}

/** The wallet of a family, where there is a key of it. Errors: those of `findKey`, `config/bad-private-key`, `config/bad-secret-key`. */
export async function findAccount(source: KeySource, family: Family, file?: string): Promise<Account | undefined> {
  const key = await findKey(source, { variable: keyVariables[family], ...(file === undefined ? {} : { file }) })
  return key === undefined ? undefined : accountOf(family, key)
}

/** As `findAccount`, where there must be one. Errors: `cli/no-key`. */
export async function needAccount(source: KeySource, family: Family, file?: string): Promise<Account> {
  const account = await findAccount(source, family, file)
  if (account === undefined) throw cliErrors('cli/no-key', { variables: [keyVariables[family]] })
  return account
}

/** The wallet that a key is. Errors: `config/bad-private-key`, `config/bad-secret-key`; neither shows the key. */
export function accountOf(family: Family, key: FoundKey): Account {
  const { address } = family === 'solana' ? secretKeySender(key) : privateKeySigner(hexKey(key))
  return { family, address, key }
}

/** A key of EVM chains as signers take it: tools write it with and without `0x`. */
export function hexKey(key: FoundKey): string {
  return `0x${typeof key === 'string' ? key.replace(/^0x/, '') : Buffer.from(key).toString('hex')}`
}

/** With what a wallet looks at a token, and pays in it where there is an account. */
export type Token = {
  readonly network: string
  readonly rpcUrl: string
  readonly asset?: string | undefined
  readonly account?: Account | undefined
  readonly store?: Pick<Store, 'ledger'> | undefined
  /** Whether recipients on Solana get the token account that they miss. */
  readonly openAccounts?: boolean
}

/** The adapter of one token on one network. Errors: those of the chain's own adapter. */
export function adapterFor({ network, rpcUrl, asset, account, store, openAccounts = false }: Token): TokenAdapter {
  const options = { network, rpcUrl, ...(asset === undefined ? {} : { asset }), ...(store === undefined ? {} : { store }) }
  if (familyOf(network) === 'solana')
    return solanaTokenAdapter({ ...options, openAccounts, ...(account === undefined ? {} : { signer: account.key }) })
  return evmTokenAdapter({ ...options, ...(account === undefined ? {} : { signer: hexKey(account.key) }) })
}
