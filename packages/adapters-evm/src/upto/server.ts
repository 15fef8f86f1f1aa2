import type { ServerScheme } from '@flow402x/core'
import { type EvmSellerOptions, evmSeller } from '../checks/seller.ts'
import { permit2Way } from '../permit2/seller.ts'
import { uptoPermit2 } from '../permit2/wire.ts'

/** What being paid by `upto` on an EVM network takes. */
export type UptoEvmServerOptions = EvmSellerOptions

/** Is paid what was used, up to the price (x402 `upto` on EVM). Errors: those of `evmSeller`, and `config/no-authorizations`. */
export function uptoEvmServer(options: UptoEvmServerOptions): ServerScheme {
  return evmSeller(options, (asset) => permit2Way(uptoPermit2, asset))
}
