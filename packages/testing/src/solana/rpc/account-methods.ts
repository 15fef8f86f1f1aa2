import { type EncodedAccount, getBase58Decoder, type MaybeEncodedAccount, type ReadonlyUint8Array } from '@solana/kit'
import * as z from 'zod/mini'
import type { Bank } from '../ledger/bank.ts'
import type { Commitment } from '../ledger/slots.ts'
import { refuse } from '../refusal.ts'
import { existing, type Found, readMint, readToken, tokenPrograms, uiAmount } from '../tokens.ts'
import { commitmentOf, inContext, type Method, method } from './method.ts'
import {
  type AccountConfig,
  accountConfigSchema,
  accountFields,
  addressSchema,
  configSchema,
  countSchema,
  readBytes,
  wireEncodingSchema,
} from './parameters.ts'
import { parsedAccount } from './parsed-account.ts'

const ofAddress = z.tuple([addressSchema, configSchema({})])
const ofAccount = z.tuple([addressSchema, accountConfigSchema])
const filterSchema = z.union([
  z.strictObject({ dataSize: countSchema }),
  z.strictObject({ memcmp: z.looseObject({ offset: countSchema, bytes: z.string(), encoding: wireEncodingSchema }) }),
])
const programConfigSchema = configSchema({
  ...accountFields,
  withContext: z.nullish(z.boolean()),
  filters: z.nullish(z.array(filterSchema)),
})
const mostAccounts = 100
const longestBase58 = 128
/** Rent is never taken any more: 2^64 - 1. */
const rentEpoch = 18_446_744_073_709_551_615n

/** The methods about accounts and the tokens in them. */
export const accountMethods: Readonly<Record<string, Method>> = {
  getBalance: method(ofAddress, (chain, [address, config]) => {
    const commitment = commitmentOf(chain, config)
    const account = chain.bank.account(address, commitment)
    return inContext(chain, commitment, account.exists ? account.lamports : 0)
  }),
  getAccountInfo: method(ofAccount, (chain, [address, config]) => {
    const commitment = commitmentOf(chain, config)
    return inContext(chain, commitment, writeAccount(chain.bank.account(address, commitment), { chain, commitment, config }))
  }),
  getMultipleAccounts: method(z.tuple([z.array(addressSchema), accountConfigSchema]), (chain, [addresses, config]) => {
    if (addresses.length > mostAccounts) throw refuse('invalidParameters', `Too many inputs provided; max ${mostAccounts}`)
    const commitment = commitmentOf(chain, config)
    const accounts = addresses.map((address) => writeAccount(chain.bank.account(address, commitment), { chain, commitment, config }))
    return inContext(chain, commitment, accounts)
  }),
  getTokenAccountBalance: method(ofAddress, (chain, [address, config]) => {
    const commitment = commitmentOf(chain, config)
    const account = chain.bank.account(address, commitment)
    if (!account.exists) throw refuse('invalidParameters', 'Invalid param: could not find account')
    const token = readToken(account)
    const mint = token && readMint(chain.bank.account(token.mint, commitment))
    if (token === undefined || mint === undefined) throw refuse('invalidParameters', 'Invalid param: not a Token account')
    return inContext(chain, commitment, uiAmount(token.amount, mint.decimals))
  }),
  getTokenSupply: method(ofAddress, (chain, [address, config]) => {
    const commitment = commitmentOf(chain, config)
    const mint = readMint(chain.bank.account(address, commitment))
    if (mint === undefined) throw refuse('invalidParameters', 'Invalid param: not a Token mint')
    return inContext(chain, commitment, uiAmount(mint.supply, mint.decimals))
  }),
  getTokenAccountsByOwner: method(
    z.tuple([
      addressSchema,
      z.union([z.strictObject({ mint: addressSchema }), z.strictObject({ programId: addressSchema })]),
      accountConfigSchema,
    ]),
    (chain, [owner, filter, config]) => {
      const commitment = commitmentOf(chain, config)
      const program = 'mint' in filter ? ownerOfMint(chain.bank.account(filter.mint, commitment)) : filter.programId
      if (program !== tokenPrograms['spl-token'] && program !== tokenPrograms['spl-token-2022']) {
        throw refuse('invalidParameters', 'Invalid param: unrecognized Token program id')
      }
      const found = chain.bank.accountsOf(program, commitment).filter((account) => {
        const token = readToken(account)
        return token?.owner === owner && (!('mint' in filter) || token.mint === filter.mint)
      })
      return inContext(
        chain,
        commitment,
        found.map((account) => ({ pubkey: account.address, account: writeAccount(account, { chain, commitment, config }) })),
      )
    },
  ),
  getProgramAccounts: method(z.tuple([addressSchema, programConfigSchema]), (chain, [program, config]) => {
    const commitment = commitmentOf(chain, config)
    const matches = ({ data }: EncodedAccount): boolean =>
      (config?.filters ?? []).every((filter) => {
        if ('dataSize' in filter) return data.length === filter.dataSize
        const { offset, bytes, encoding } = filter.memcmp
        const wanted = readBytes(bytes, encoding)
        return Buffer.compare(data.slice(offset, offset + wanted.length), wanted) === 0
      })
    const accounts = chain.bank
      .accountsOf(program, commitment)
      .filter(matches)
      .map((account) => ({ pubkey: account.address, account: writeAccount(account, { chain, commitment, config }) }))
    return config?.withContext === true ? inContext(chain, commitment, accounts) : accounts
  }),
  requestAirdrop: method(z.tuple([addressSchema, countSchema, configSchema({})]), (chain, [to, lamports]) =>
    chain.airdrop(to, BigInt(lamports)),
  ),
}

function ownerOfMint(mint: MaybeEncodedAccount) {
  if (!mint.exists || readMint(mint) === undefined) throw refuse('invalidParameters', 'Invalid param: could not find mint')
  return mint.programAddress
}

/** Where an account is read, and how it shall be written. */
export type Writing = { readonly chain: { readonly bank: Bank }; readonly commitment: Commitment; readonly config: AccountConfig }

/** An account in the shape that Solana's RPC gives it, or null. Errors: `testing/solana-refused` for an encoding that cannot be. */
export function writeAccount(found: Found, { chain, commitment, config }: Writing): unknown {
  const encoding = config?.encoding ?? 'base58'
  if (encoding === 'base64+zstd') throw refuse('invalidParameters', 'base64+zstd is not written by this local chain: ask for base64')
  const account = existing(found)
  if (account === undefined) return null
  const { lamports, executable, programAddress: owner, space } = account
  const parsed = encoding === 'jsonParsed' ? parsedAccount(account, (mint) => readMint(chain.bank.account(mint, commitment))) : undefined
  const { offset = 0, length = account.data.length } = config?.dataSlice ?? {}
  const data = parsed ?? writeData(account.data.slice(offset, offset + length), config?.encoding)
  return { lamports, data, owner, executable, rentEpoch, space }
}

function writeData(data: ReadonlyUint8Array, encoding: NonNullable<AccountConfig>['encoding']): unknown {
  if (encoding === 'base64' || encoding === 'jsonParsed') return [Buffer.from(data).toString('base64'), 'base64']
  if (data.length > longestBase58) {
    throw refuse('invalidRequest', `Encoded binary (base 58) data should be less than ${longestBase58} bytes, please use Base64 encoding.`)
  }
  const text = getBase58Decoder().decode(data)
  // Without an encoding it is plain text, as in the first release.
  return encoding == null ? text : [text, 'base58']
}
