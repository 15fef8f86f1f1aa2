import * as z from 'zod/mini'
import { decodeBase64 } from './base64.ts'
import { httpRpc, inContext, type Rpc } from './rpc.ts'
import type { StoredAccount } from './solana-chain.ts'

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
export function solanaReader({ rpcUrl, fetch = globalThis.fetch, timeoutMs = 10_000 }: SolanaReaderOptions): SolanaReader {
  return readerOf(httpRpc({ url: rpcUrl, fetch, timeoutMs }))
}

const blockhashSchema = inContext(z.looseObject({ blockhash: z.string(), lastValidBlockHeight: z.int() }))
const accountSchema = inContext(z.nullable(z.looseObject({ owner: z.string(), data: z.tuple([z.string(), z.literal('base64')]) })))

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
      const { value } = await rpc.ask({ method: 'getAccountInfo', params, result: accountSchema }, options)
      return value === null ? undefined : { owner: value.owner, data: decodeBase64(value.data[0]) ?? new Uint8Array() }
    },
  }
}
