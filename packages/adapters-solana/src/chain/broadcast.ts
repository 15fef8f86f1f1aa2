import { isX402Error, type SignedTransaction } from '@flow402x/core'
import * as z from 'zod/mini'
import { solanaErrors } from './errors.ts'
import { inContext, type Rpc } from './rpc.ts'

const knownSchema = inContext(z.array(z.nullable(z.looseObject({}))))

/** Hands signed bytes to a node; a transaction it already has is no error. Errors: `solana/refused`, `solana/broadcast-unknown`. */
export async function broadcast(rpc: Rpc, { bytes, transaction }: Pick<SignedTransaction, 'bytes' | 'transaction'>): Promise<void> {
  try {
    // What is sent was simulated or checked before, and a preflight would only find that it is there already.
    const params = [bytes, { encoding: 'base64', skipPreflight: true }]
    await rpc.ask({ method: 'sendTransaction', params, result: z.string() })
  } catch (error) {
    if (!isX402Error(error, 'solana/call-failed'))
      throw solanaErrors('solana/broadcast-unknown', { host: rpc.host, transaction, cause: error })
    if (/AlreadyProcessed|already been processed/i.test(error.message)) return
    // A blockhash that ran out is also what a node says of a transaction that it has long mined.
    const { value } = await rpc
      .ask({ method: 'getSignatureStatuses', params: [[transaction]], result: knownSchema })
      .catch((cause: unknown) => {
        throw solanaErrors('solana/broadcast-unknown', { host: rpc.host, transaction, cause })
      })
    if (value[0] == null) throw solanaErrors('solana/refused', { host: rpc.host, transaction, why: error.message, cause: error })
  }
}
