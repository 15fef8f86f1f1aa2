import type { ClientScheme } from '@flow402x/core'
import { type EvmPayerOptions, evmPayer } from '../checks/payer.ts'
import { type Permit2PayerOptions, permit2Method } from '../permit2/client.ts'
import { uptoPermit2 } from '../permit2/wire.ts'

/** What paying by `upto` on EVM chains takes. */
export type UptoEvmClientOptions = EvmPayerOptions & Permit2PayerOptions

/**
 * Pays by a signed ceiling (x402 `upto` on EVM): the seller's facilitator takes what was used, once, and the contract lets it take
 * no more than was signed. Which part of that it is the payer leaves to the seller. Errors: those of `evmPayer` and `permit2`.
 */
export function uptoEvmClient(options: UptoEvmClientOptions): ClientScheme {
  return evmPayer('upto', [permit2Method(uptoPermit2, options)], options)
}
