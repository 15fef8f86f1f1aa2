import type { FacilitatorScheme } from '@flow402x/core'
import { type Permit2FacilitatorOptions, permit2Facilitator } from '../permit2/facilitator.ts'
import { uptoPermit2 } from '../permit2/wire.ts'

/** What settling `upto` on an EVM network takes. */
export type UptoEvmFacilitatorOptions = Permit2FacilitatorOptions

/** Verifies and settles x402 `upto` on one EVM network: what was used, sent by the signer whom the payer named. Errors: those of `permit2Facilitator`. */
export function uptoEvmFacilitator(options: UptoEvmFacilitatorOptions): FacilitatorScheme {
  return permit2Facilitator(uptoPermit2, options)
}
