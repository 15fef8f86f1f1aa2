import type { Asset } from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { quantity } from '../chain/fees.ts'
import type { Asking } from '../chain/receipt.ts'
import { balanceOf } from '../checks/look.ts'

type Held = Pick<Asset, 'network' | 'address' | 'symbol' | 'transfer'>

/** What an address holds of a token, or of the coin. Errors: `config/bad-address`, `config/no-token`, `evm/rpc`, `evm/call-failed`. */
export async function heldBy(of: string, asset: Held, { rpc, signal }: Asking): Promise<bigint> {
  const { network, symbol, address, transfer } = asset
  if (!isAddress(of)) throw evmErrors('config/bad-address', { option: 'address', address: of })
  if (transfer === 'native') return await rpc.ask({ method: 'eth_getBalance', params: [of, 'latest'], result: quantity }, { signal })
  const held = isAddress(address) ? await balanceOf({ token: address, of }, { rpc, signal }) : undefined
  if (held === undefined) throw evmErrors('config/no-token', { network, tokens: `${address} (${symbol})` })
  return held
}
