import * as z from 'zod/mini'
import { decodeBase64 } from './base64.ts'
import { system } from './programs.ts'
import { httpRpc, inContext, type Rpc } from './rpc.ts'

/** A blockhash and the last block height at which a transaction with it can be mined. */
export type RecentBlockhash = { readonly blockhash: string; readonly lastValidBlockHeight: bigint }

type Abortable = { readonly signal?: AbortSignal | undefined }

/** What a payer may ask a chain where the seller's offer does not say it (H47). */
export interface SolanaReader {
  recentBlockhash(options?: Abortable): Promise<RecentBlockhash>
  account(address: string, options?: Abortable): Promise<StoredAccount | undefined>
  /** The connection itself, where it can be used: by it a payer sees what became of a payment (M32). */
  readonly rpc?: Rpc
}

/** How a node is reached. */
export type SolanaReaderOptions = {
  readonly rpcUrl: string
  readonly fetch?: typeof globalThis.fetch
  /** How long one request may take, in milliseconds; 10,000 unless told. */
  readonly timeoutMs?: number
}

/** Reads a chain by JSON-RPC. Errors: `config/bad-rpc-url`; from its methods `solana/rpc` and `solana/call-failed`. */
export function solanaReader({ rpcUrl, fetch, timeoutMs = 10_000 }: SolanaReaderOptions): SolanaReader {
  return readerOf(httpRpc({ url: rpcUrl, fetch, timeoutMs }))
}

const blockhashSchema = inContext(z.looseObject({ blockhash: z.string(), lastValidBlockHeight: z.int() }))

/** An account as the chain keeps it. */
export type StoredAccount = { readonly owner: string; readonly data: Uint8Array }

/** An account as a node tells it in base64, or null for none. */
export const storedAccount = z.nullable(
  z.pipe(
    z.looseObject({ owner: z.string(), data: z.tuple([z.string(), z.literal('base64')]) }),
    z.transform(({ owner, data: [text] }): StoredAccount => ({ owner, data: decodeBase64(text) ?? new Uint8Array() })),
  ),
)

const nonceBytes = 80

/** What a nonce account keeps: who may advance it, and the value that a transaction names in the place of a blockhash. */
export function storedNonce({ owner, data }: StoredAccount): { readonly authority: Uint8Array; readonly nonce: Uint8Array } | undefined {
  if (owner !== system.address || data.length !== nonceBytes || data[4] !== 1) return undefined
  return { authority: data.subarray(8, 40), nonce: data.subarray(40, 72) }
}

/** The answer of `getMultipleAccounts`. */
export const accountsSchema = inContext(z.array(storedAccount))

/** As `solanaReader`, over a connection that is there. */
export function readerOf(rpc: Rpc): SolanaReader {
  return {
    rpc,
    async recentBlockhash(options) {
      const params = [{ commitment: 'confirmed' }]
      const { value } = await rpc.ask({ method: 'getLatestBlockhash', params, result: blockhashSchema }, options)
      return { blockhash: value.blockhash, lastValidBlockHeight: BigInt(value.lastValidBlockHeight) }
    },
    async account(address, options) {
      const params = [address, { encoding: 'base64', commitment: 'confirmed' }]
      const { value } = await rpc.ask({ method: 'getAccountInfo', params, result: inContext(storedAccount) }, options)
      return value ?? undefined
    },
  }
}
