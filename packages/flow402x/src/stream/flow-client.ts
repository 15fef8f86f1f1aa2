import type { EvmSigner } from '@flow402x/adapters-evm/client'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import type { SolanaSender } from '@flow402x/adapters-solana/client'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { assetOf, parseNetwork, type Store } from '@flow402x/core'
import type { TokenAdapter } from '@flow402x/core/token'
import { keyVariables } from '../cli/key.ts'
import { type Family, familyOf, hexKey } from '../wallet/account.ts'
import { type DirectReceipt, type DirectStream, payDirect } from './direct.ts'
import { type Environment, needRpcUrl, needVariable } from './environment.ts'
import { streamErrors } from './errors.ts'

/**
 * Who pays: a private key, a keypair of web3.js, or anything that signs. The key in FLOW402X_EVM_PRIVATE_KEY or
 * FLOW402X_SOLANA_PRIVATE_KEY unless told.
 */
export type FlowWallet = string | Uint8Array | { readonly secretKey: Uint8Array } | EvmSigner | SolanaSender

/** What a client is made with. */
export type FlowClientOptions = {
  /** The network it pays on: `solana`, `base`, or a CAIP-2 id. */
  readonly provider: string
  /** A token of the network's table, or a token adapter, your own as well; `USDC` unless told. */
  readonly token?: string | TokenAdapter
  readonly wallet?: FlowWallet
  /** Remembers what was paid over restarts, so that a stream's `id` pays each window once. */
  readonly store?: Pick<Store, 'ledger'>
  /** Where variables are read; `process.env` unless told. */
  readonly env?: Environment
}

/**
 * A buyer of streams (DESIGN §8.1).
 *
 * Errors, at once: `flow/no-variable`, which names what is missing; `config/unknown-network`, `config/unknown-asset`, those of the key.
 */
export class FlowClient {
  readonly #adapter: TokenAdapter

  constructor({ provider, token = 'USDC', wallet, store, env = process.env }: FlowClientOptions) {
    const network = parseNetwork(provider)
    if (typeof token === 'object') this.#adapter = token
    else {
      const given = { network, asset: assetOf(network, token).symbol, rpcUrl: needRpcUrl(env, network), ...(store && { store }) }
      this.#adapter = adapterOf(given, { wallet: wallet ?? keyIn(env, familyOf(network)), family: familyOf(network) })
    }
  }

  /** Pays an address for as long as it is told, window by window. Errors: those of `payDirect`. */
  async payStream(stream: DirectStream): Promise<DirectReceipt> {
    return await payDirect(stream, this.#adapter)
  }
}

function keyIn(env: Environment, family: Family): string {
  return needVariable(env, keyVariables[family], 'the private key that pays, or give the client a wallet')
}

type Given = { readonly network: string; readonly asset: string; readonly rpcUrl: string; readonly store?: Pick<Store, 'ledger'> }

function adapterOf(given: Given, { wallet, family }: { readonly wallet: FlowWallet; readonly family: Family }): TokenAdapter {
  if (family === 'solana') return solanaTokenAdapter({ ...given, signer: solanaSigner(wallet) })
  return evmTokenAdapter({ ...given, signer: evmSigner(wallet) })
}

function solanaSigner(wallet: FlowWallet): string | Uint8Array | SolanaSender {
  if (typeof wallet === 'string' || wallet instanceof Uint8Array) return wallet
  if ('secretKey' in wallet) return wallet.secretKey
  // A sender of Solana signs the bytes of messages; an EVM account signs hashes, and its address is none of Solana's.
  if ('sign' in wallet && !wallet.address.startsWith('0x')) return wallet as SolanaSender
  throw streamErrors('flow/bad-stream', { why: 'this wallet signs nothing on Solana' })
}

function evmSigner(wallet: FlowWallet): string | EvmSigner {
  if (typeof wallet === 'string' || wallet instanceof Uint8Array) return hexKey(wallet)
  // An account of EVM chains has an address of theirs.
  if ('address' in wallet && wallet.address.startsWith('0x')) return wallet as EvmSigner
  throw streamErrors('flow/bad-stream', { why: 'this wallet signs nothing on EVM chains' })
}
