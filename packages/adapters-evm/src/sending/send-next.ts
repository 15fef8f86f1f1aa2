import { type Call, isX402Error, type SignedTransaction, sameAddress } from '@flow402x/core'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'

const mostSends = 5

/**
 * Sends one call in a transaction of its own, from the first signer or from the one that `by` names. Another sender of the same account may
 * take the nonce first: then the next one is tried. Errors: `config/no-signer`, those of signing and sending.
 */
export async function sendNext(
  chain: EvmChain,
  call: Call,
  { by, signal }: { readonly by?: string; readonly signal?: AbortSignal | undefined },
): Promise<SignedTransaction> {
  const signer = by === undefined ? chain.signers[0] : chain.signers.find((one) => sameAddress(one, by))
  if (signer === undefined) throw evmErrors('config/no-signer', { why: `${by ?? 'nobody'} does not pay the gas on ${chain.network}` })
  for (let sends = 1; ; sends += 1) {
    try {
      const signed = await chain.sign([call], { signer, nonce: await chain.nonce(signer, { signal }) })
      await chain.send(signed)
      return signed
    } catch (error) {
      if (!isX402Error(error, 'evm/refused') || sends === mostSends) throw error
    }
  }
}
