import type { ServerScheme, Store } from '@flow402x/core'
import { type ExactSolanaServerOptions, exactSolanaServer } from '../exact/server.ts'
import { windowRail } from './rail.ts'

/** What selling streams by whole payments takes. */
export type ExactWindowsSolanaServerOptions = ExactSolanaServerOptions & {
  /** Where claims on payments and what they bought are kept: shared by all servers of the payee. */
  readonly store: Pick<Store, 'channels' | 'claims'>
}

/**
 * As `exactSolanaServer`, and it carries streams: one payment for each window, by any x402 client there is (FS/1 §12.4). Windows of ten
 * to thirty seconds are worth their fee; what is not used of one is not given back.
 *
 * Errors: those of `exactSolanaServer`; from its rail those of the facilitator and the store.
 */
export function exactWindowsSolanaServer({ store, ...options }: ExactWindowsSolanaServerOptions): ServerScheme {
  const scheme = exactSolanaServer(options)
  return { ...scheme, rail: windowRail({ scheme, store, clock: options.clock ?? Date.now }) }
}
