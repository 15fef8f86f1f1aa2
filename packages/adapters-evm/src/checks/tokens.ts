import { type Asset, assets as knownAssets } from '@flow402x/core'
import { decodeWord, encodeCall, type Target } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { toHex } from '../crypto/bytes.ts'
import { domainSeparator, type TokenDomain } from '../crypto/eip712.ts'

/** The tokens of a network that EIP-3009 moves, each with its domain; `extra` beside those of the table. Errors: `config/foreign-asset`, `config/bad-address`, `config/no-authorizations`. */
export function authorizationTokens({ network, chainId }: EvmChain, extra: readonly Asset[]): ReadonlyMap<string, TokenDomain> {
  for (const { network: home, symbol, address, transfer, eip712 } of extra) {
    if (home !== network) throw evmErrors('config/foreign-asset', { asset: symbol, network: home, wanted: network })
    if (!isAddress(address)) throw evmErrors('config/bad-address', { option: `The address of ${symbol}`, address })
    if (transfer !== 'eip3009' || eip712 === undefined) throw evmErrors('config/no-authorizations', { network, asset: symbol })
  }
  const here = [...knownAssets, ...extra].filter((asset) => asset.network === network && asset.transfer === 'eip3009')
  return new Map(
    here.flatMap(({ address, eip712 }) =>
      eip712 === undefined ? [] : [[address.toLowerCase(), { ...eip712, chainId, verifyingContract: address }] as const],
    ),
  )
}

type Checking = {
  readonly tokens: ReadonlyMap<string, TokenDomain>
  readonly required: readonly string[]
  readonly signal: AbortSignal | undefined
}

/** The tokens that stand on the chain, each saying the same domain as is known of it. Errors: `config/domain-mismatch`, `config/no-token`. */
export async function checkedTokens(chain: EvmChain, { tokens, required, signal }: Checking): Promise<ReadonlyMap<string, TokenDomain>> {
  const all = [...tokens]
  const answers = await chain.read(
    all.map(([target]) => ({ target, data: encodeCall('0x3644e515', []) })),
    { signal },
  )
  const present = all.filter(([asset, domain], index) => {
    const answer = answers[index]
    // Not deployed on this chain, or a token that does not tell its domain.
    if (answer?.success !== true || answer.data === '0x') return false
    const expected = toHex(domainSeparator(domain))
    const actual = answer.data
    if (actual !== expected) throw evmErrors('config/domain-mismatch', { asset, network: chain.network, expected, actual })
    return true
  })
  const served = new Map(present)
  const missing = required.filter((asset) => !served.has(asset))
  if (served.size === 0 || missing.length > 0) {
    throw evmErrors('config/no-token', { network: chain.network, tokens: (missing.length > 0 ? missing : [...tokens.keys()]).join(', ') })
  }
  return served
}

/** Every token of a network; `extra` beside those of the table. Errors: `config/foreign-asset`, `config/bad-address`, `config/no-authorizations`. */
export function listedTokens({ network }: EvmChain, extra: readonly Asset[]): ReadonlySet<string> {
  for (const { network: home, symbol, address, transfer } of extra) {
    if (home !== network) throw evmErrors('config/foreign-asset', { asset: symbol, network: home, wanted: network })
    if (!isAddress(address)) throw evmErrors('config/bad-address', { option: `The address of ${symbol}`, address })
    if (transfer !== 'permit2' && transfer !== 'eip3009') throw evmErrors('config/no-authorizations', { network, asset: symbol })
  }
  const here = [...knownAssets, ...extra].filter((asset) => asset.network === network && asset.transfer !== 'native')
  return new Set(here.map(({ address }) => address.toLowerCase()))
}

/** A contract that must stand for tokens to be served: what it is asked, the address it answers, and the error where it does not. */
export type Through = Target & { readonly answer: string; absent(): Error }

type Serving = {
  readonly through: readonly Through[]
  /** Of whom tokens are asked, to see that they answer. */
  readonly holder: `0x${string}`
  readonly tokens: ReadonlySet<string>
  /** Those of the tokens that must be there. */
  readonly assets: readonly Asset[]
  readonly signal: AbortSignal | undefined
}

/** The tokens that stand on a chain where all that they go through does. Errors: `config/no-token`, and those of `through`. */
export async function servedTokens(chain: EvmChain, { through, holder, tokens, assets, signal }: Serving): Promise<ReadonlySet<string>> {
  const all = [...tokens]
  const answers = await chain.read([...through, ...all.map((target) => ({ target, data: encodeCall('0x70a08231', [holder]) }))], { signal })
  const words = answers.map(({ success, data }) => (success ? decodeWord(data) : undefined))
  const missing = through.find(({ answer }, index) => words[index] !== BigInt(answer))
  if (missing !== undefined) throw missing.absent()
  const served = new Set(all.filter((_, index) => words[through.length + index] !== undefined))
  const lacking = assets.map(({ address }) => address.toLowerCase()).filter((token) => !served.has(token))
  if (served.size === 0 || lacking.length > 0)
    throw evmErrors('config/no-token', { network: chain.network, tokens: (lacking.length > 0 ? lacking : all).join(', ') })
  return served
}
