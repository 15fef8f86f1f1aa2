import type { ServerScheme } from '@flow402x/core'
import { type EvmSellerOptions, evmSeller } from '../checks/seller.ts'
import { permit2Way } from '../permit2/seller.ts'
import { uptoPermit2 } from '../permit2/wire.ts'
import { amountUsed } from './usage.ts'

/** What being paid by `upto` on an EVM network takes. */
export type UptoEvmServerOptions = EvmSellerOptions

/**
 * Is paid what was used, up to the price (x402 `upto` on EVM). A handler says what was used in the header `Settlement-Overrides`, which
 * never leaves the server; where it says nothing, all of the price is settled.
 *
 * Errors: those of `evmSeller`, and `config/no-authorizations`; from `settlement` `evm/bad-usage`.
 */
export function uptoEvmServer(options: UptoEvmServerOptions): ServerScheme {
  return evmSeller(options, (asset) => ({
    ...permit2Way(uptoPermit2, asset),
    settlement({ requirements }, used) {
      return { ...requirements, amount: `${amountUsed(used, { ceiling: BigInt(requirements.amount), asset })}` }
    },
  }))
}
