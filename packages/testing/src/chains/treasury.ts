import { type Address, getAddress, type Hex, keccak256, toHex } from 'viem'
import * as z from 'zod/mini'
import { testingErrors } from './errors.ts'
import { ask, hexSchema, type Rpc } from './json-rpc.ts'

/** An address of a local chain that no key has: `label` says what stands there. */
export function placeOf(label: string): Address {
  return getAddress(`0x${keccak256(toHex(`flow402x local chain: ${label}`)).slice(-40)}`)
}

/** Mints on local chains; anvil signs for it, so the nonces of the development accounts stay their users' own. */
export const treasury = placeOf('treasury')

const receiptSchema = z.looseObject({ transactionHash: hexSchema, status: hexSchema, contractAddress: z.nullish(hexSchema) })

/** Sends a transaction of the treasury and gives its receipt. Errors: `testing/reverted`, those of `Rpc`. */
export type Send = (
  transaction: { readonly to?: Address; readonly data: Hex },
  options?: { readonly signal?: AbortSignal },
) => Promise<z.infer<typeof receiptSchema>>

/** Sends each transaction once the one before is mined, so that the treasury's nonces never arrive out of order. */
export function treasurySender(rpc: Rpc): Send {
  let last: Promise<unknown> = Promise.resolve()
  return (transaction, options) => {
    const receipt = last.then(async () => {
      const call = { from: treasury, ...transaction }
      const mined = await ask(rpc, { method: 'eth_sendTransactionSync', params: [call], result: receiptSchema }, options)
      if (mined.status !== '0x1') {
        // A receipt has no reason; the same call, made again without effect, is refused with it.
        await rpc('eth_call', [call, 'latest'], options)
        throw testingErrors('testing/reverted', { transaction: mined.transactionHash })
      }
      return mined
    })
    last = receipt.catch(() => undefined)
    return receipt
  }
}
