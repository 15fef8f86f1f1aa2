import type { SignedTransaction, TransactionStatus } from '@flow402x/core'
import type { EvmChain } from '../chain/evm-chain.ts'

/** What became of a wallet's own transaction. It never ends by itself: it can be mined until a final block has another on its nonce. */
export async function transferStatus(chain: EvmChain, signed: SignedTransaction): Promise<TransactionStatus> {
  const status = await chain.status(signed)
  if (status.state !== 'unknown' || (await chain.nonce(signed.signer, { after: 'final' })) <= signed.nonce) return status
  // It may itself have been what used the nonce, and was mined in between.
  const again = await chain.status(signed)
  return again.state === 'unknown' ? { state: 'expired' } : again
}
