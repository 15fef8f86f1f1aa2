import type { Call, ChainWriter, SignedTransaction, TransactionStatus } from '@flow402x/core'
import { vi } from 'vitest'

/** A transaction that is in a block, as a scheme's `outcome` takes it. */
export type Mined = { readonly transaction: string; readonly status: TransactionStatus & { readonly state: 'mined' } }

/** Signs calls by a writer's first signer, sends them and waits until they are mined, as an engine that keeps no journal would. */
export async function mine(writer: ChainWriter, calls: readonly Call[]): Promise<Mined> {
  const [signer = ''] = writer.signers
  const signed = await writer.sign(calls, { signer, nonce: writer.ordered ? await writer.nonce(signer) : 0n })
  await writer.send(signed)
  return whenMined(writer, signed)
}

/** Waits until a transaction is mined: a node shows a block, its receipts and its state at slightly different moments. */
export function whenMined(writer: ChainWriter, signed: Pick<SignedTransaction, 'transaction'>): Promise<Mined> {
  const look = async () => {
    const status = await writer.status(signed)
    if (status.state !== 'mined') throw new TypeError(`${signed.transaction} is ${status.state}`)
    return { transaction: signed.transaction, status }
  }
  return vi.waitFor(look, 15_000)
}
