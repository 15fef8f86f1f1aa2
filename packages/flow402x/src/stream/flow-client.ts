import { batchSettlementClient, type EvmSigner, exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { exactSolanaClient, nonceVoucherClient, type SolanaSender, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { createClient, streamWallet } from '@flow402x/client'
import { assetOf, type ClientScheme, formatRate, parseNetwork, type Rate, type Store } from '@flow402x/core'
import { paymentRateHeader, type StreamWallet } from '@flow402x/core/stream'
import type { TokenAdapter } from '@flow402x/core/token'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type PaidStream, type PayStreamOptions, payStream } from '@flow402x/stream/client'
import { keyVariables } from '../cli/key.ts'
import { type Family, familyOf, hexKey } from '../wallet/account.ts'
import { findWalletFile, walletFileVariable } from '../wallet/home.ts'
import { type DirectReceipt, type DirectStream, payDirect } from './direct.ts'
import { type Environment, needRpcUrl, needVariable } from './environment.ts'
import { streamErrors } from './errors.ts'
import { type FlowPrice, rateOf } from './words.ts'

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
  /** The books of the wallet, over restarts and processes: the file that FLOW402X_WALLET_FILE names, or one in the home directory, unless told. */
  readonly store?: Store
  /** The most that may be spent in all, `"$10"` unless told; and the most that lies in a channel with one seller, `"$5"` unless told. */
  readonly budget?: string
  readonly maxDeposit?: string
  /** Where variables are read; `process.env` unless told. */
  readonly env?: Environment
}

/** A stream of content, which is paid while it is read. */
export type ContentStream = Pick<PayStreamOptions, 'init' | 'signal' | 'onEvent'> & {
  readonly url: string | URL
  /** Dollars for each second that are paid at most; what the seller asks unless told. */
  readonly rate?: FlowPrice
  /** Seconds, or other units of the seller's, after which it ends. */
  readonly duration?: number
}

/**
 * A buyer of streams (DESIGN §8.1).
 *
 * Errors, at once: `flow/no-variable`, which names what is missing; `config/unknown-network`, `config/unknown-asset`, those of the key.
 */
export class FlowClient {
  readonly #payer: Payer
  readonly #token: string | TokenAdapter
  readonly #options: Pick<FlowClientOptions, 'store' | 'budget' | 'maxDeposit'>
  readonly #env: Environment
  #books: Promise<Store> | undefined
  #wallet: Promise<StreamWallet> | undefined

  constructor({ provider, token = 'USDC', wallet, env = process.env, ...options }: FlowClientOptions) {
    const network = parseNetwork(provider)
    this.#env = env
    this.#options = options
    this.#token = typeof token === 'string' ? assetOf(network, token).symbol : token
    this.#payer = payerOf(network, { wallet, env, isOwn: typeof token === 'object' })
  }

  /** Pays an address for as long as it is told, window by window. Errors: those of `payDirect`. */
  async payStream(stream: DirectStream): Promise<DirectReceipt>
  /** Opens a stream and pays for it while it is read: it ends when the money does. Errors: those of `payStream` of `@flow402x/stream`. */
  async payStream(stream: ContentStream): Promise<PaidStream>
  async payStream(stream: DirectStream | ContentStream): Promise<DirectReceipt | PaidStream> {
    return 'url' in stream ? await this.#read(stream) : await this.#send(stream)
  }

  /** Lets go of the books; what was paid is safe without it. */
  async close(): Promise<void> {
    if (this.#options.store === undefined) await (await this.#books)?.close()
  }

  async #send(stream: DirectStream): Promise<DirectReceipt> {
    const token = this.#token
    return await payDirect(stream, typeof token === 'object' ? token : adapterOf(this.#payer, { token, store: await this.#store() }))
  }

  async #read({ url, rate, duration, ...given }: ContentStream): Promise<PaidStream> {
    this.#wallet ??= this.#store().then((store) => walletOf(this.#payer, { ...this.#options, token: this.#token, store }))
    const wallet = await this.#wallet
    if (rate !== undefined) await checkRate(wallet, { url, init: given.init, most: rateOf(rate, 'second') })
    return await payStream({ ...given, ...(duration === undefined ? {} : { units: String(duration) }), wallet, url })
  }

  #store(): Promise<Store> {
    this.#books ??= this.#options.store === undefined ? booksIn(this.#env) : Promise.resolve(this.#options.store)
    return this.#books
  }
}

/** Asks what a stream costs before anything is signed. Errors: `flow/bad-stream` where that is more than was agreed to. */
async function checkRate(
  wallet: StreamWallet,
  { url, init = {}, most }: { readonly url: string | URL; readonly init: RequestInit | undefined; readonly most: Rate },
): Promise<void> {
  const answer = await wallet.send(url, init)
  await answer.body?.cancel()
  const asked = answer.headers.get(paymentRateHeader.name)
  // What asks nothing, or says no price, is judged by the budget alone.
  if (answer.status !== 402 || asked === null) return
  const { price, unit, per } = paymentRateHeader.decode(asked)
  const more =
    price.amount.units * 10n ** BigInt(most.price.amount.scale) > most.price.amount.units * 10n ** BigInt(price.amount.scale) * per
  if (unit !== most.unit || price.symbol !== most.price.symbol || more)
    throw streamErrors('flow/bad-stream', { why: `${new URL(url).host} asks ${asked}, and ${formatRate(most)} was agreed to` })
}

type Payer = { readonly network: string; readonly rpcUrl: string } & (
  | { readonly family: 'eip155'; readonly signer: EvmSigner }
  | { readonly family: 'solana'; readonly signer: SolanaSender }
  // Whose own adapter pays needs no key here.
  | { readonly family: undefined }
)

type Given = { readonly wallet: FlowWallet | undefined; readonly env: Environment; readonly isOwn: boolean }

function payerOf(network: string, { wallet, env, isOwn }: Given): Payer {
  if (isOwn && wallet === undefined) return { network, rpcUrl: '', family: undefined }
  const family = familyOf(network)
  const rpcUrl = needRpcUrl(env, network)
  const given = wallet ?? keyIn(env, family)
  if (family === 'solana') return { network, rpcUrl, family, signer: solanaSigner(given) }
  return { network, rpcUrl, family, signer: evmSigner(given) }
}

function keyIn(env: Environment, family: Family): string {
  return needVariable(env, keyVariables[family], 'the private key that pays, or give the client a wallet')
}

async function booksIn(env: Environment): Promise<Store> {
  const file = await findWalletFile(env)
  return sqliteStore(file ?? needVariable(env, walletFileVariable, 'a file on a local disk for the books of this wallet'))
}

function adapterOf(payer: Payer, { token, store }: { readonly token: string; readonly store: Store }): TokenAdapter {
  const { network, rpcUrl } = payer
  const given = { network, rpcUrl, asset: token, store }
  if (payer.family === 'solana') return solanaTokenAdapter({ ...given, signer: payer.signer })
  return evmTokenAdapter({ ...given, ...(payer.family === undefined ? {} : { signer: payer.signer }) })
}

type Spending = Pick<FlowClientOptions, 'budget' | 'maxDeposit'> & { readonly token: string | TokenAdapter; readonly store: Store }

function walletOf(payer: Payer, { budget = '$10', maxDeposit = '$5', token, store }: Spending): StreamWallet {
  if (payer.family === undefined || typeof token === 'object')
    throw streamErrors('flow/bad-stream', {
      why: 'a token adapter pays addresses; give the client a wallet and the name of a token to pay for a URL',
    })
  const schemes = payer.family === 'solana' ? solanaSchemes(payer, { token, maxDeposit, store }) : evmSchemes(payer, { maxDeposit, store })
  return streamWallet(createClient({ schemes, store, budget: { perPayment: budget, total: budget } }))
}

function evmSchemes(
  { network, rpcUrl, signer }: Payer & { readonly signer: EvmSigner },
  { maxDeposit, store }: Pick<Spending, 'store'> & { readonly maxDeposit: string },
): ClientScheme[] {
  const chains = [evmChain({ network, rpcUrl, signers: [signer] })]
  return [
    batchSettlementClient({ signer, store, chains, maxDeposit, networks: [network] }),
    exactEvmClient({ signer, networks: [network] }),
  ]
}

function solanaSchemes(
  { network, rpcUrl, signer }: Payer & { readonly signer: SolanaSender },
  { token, maxDeposit, store }: Pick<Spending, 'store'> & { readonly token: string; readonly maxDeposit: string },
): ClientScheme[] {
  const channels = nonceVoucherClient({ network, rpcUrl, signer, store, maxDeposit, asset: token })
  return [channels, exactSolanaClient({ signer, networks: [network], reader: solanaReader({ rpcUrl }) })]
}

function solanaSigner(wallet: FlowWallet): SolanaSender {
  if (typeof wallet === 'string' || wallet instanceof Uint8Array) return secretKeySender(wallet)
  if ('secretKey' in wallet) return secretKeySender(wallet.secretKey)
  // A sender of Solana signs the bytes of messages; an EVM account signs hashes, and its address is none of Solana's.
  if ('sign' in wallet && !wallet.address.startsWith('0x')) return wallet as SolanaSender
  throw streamErrors('flow/bad-stream', { why: 'this wallet signs nothing on Solana' })
}

function evmSigner(wallet: FlowWallet): EvmSigner {
  if (typeof wallet === 'string' || wallet instanceof Uint8Array) return privateKeySigner(hexKey(wallet))
  // An account of EVM chains has an address of theirs.
  if ('address' in wallet && wallet.address.startsWith('0x')) return wallet as EvmSigner
  throw streamErrors('flow/bad-stream', { why: 'this wallet signs nothing on EVM chains' })
}
