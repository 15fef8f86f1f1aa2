import { type ClientScheme, isX402Error, type Outcome, type Submission } from '@flow402x/core'
import { decodeWord, encodeCall } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { tokenDomain } from '../checks/signed.ts'
import type { Hex } from '../crypto/bytes.ts'
import { cancellationDigest, cancellationTypedData } from '../crypto/eip712.ts'
import { signWith } from '../crypto/signer.ts'
import { sendNext } from '../sending/send-next.ts'
import { type ExactEvmClientOptions, exactEvmClient } from './client.ts'
import { lookAt } from './look.ts'
import { readPayload } from './wire.ts'

/** What paying by `exact` and taking it back takes. */
export type CancellableEvmClientOptions = ExactEvmClientOptions & {
  /** A connection to each network on which payments may be looked up and cancelled; its first signer pays the gas. */
  readonly chains: readonly EvmChain[]
  /** How long to wait until the chain has said whether a payment was cancelled or spent, in milliseconds; 180,000 unless told. */
  readonly waitMs?: number
  /** How long to wait between two looks, in milliseconds; 1,000 unless told. */
  readonly pollMs?: number
}

/**
 * `exactEvmClient` that can also see what became of a payment and revoke it by EIP-3009 `cancelAuthorization`, which the payer signs
 * and any account with gas may send. A revoked payment counts as such once that is final.
 *
 * Errors: those of `exactEvmClient`; from `cancel` `evm/no-chain`, `evm/unsupported-terms` and those of sending.
 */
export function cancellableExactEvmClient(options: CancellableEvmClientOptions): ClientScheme {
  const { chains, waitMs = 180_000, pollMs = 1000, signer } = options
  const chainOf = (network: string) => chains.find((chain) => chain.network === network)
  const look: ClientScheme['look'] = async (submission, { transaction, signal } = {}) => {
    const { network } = submission.requirements
    const chain = chainOf(network)
    if (chain === undefined) return { status: 'pending', network }
    return await lookAt(submission, { rpc: chain.rpc, final: () => chain.final(), transaction, signal })
  }
  return {
    ...exactEvmClient(options),
    look,
    async cancel(submission, { signal } = {}) {
      const { network } = submission.requirements
      const chain = chainOf(network)
      if (chain === undefined) throw evmErrors('evm/no-chain', { network })
      const before = await look(submission, { signal })
      if (before.status !== 'pending') return before
      await revoke(submission, { chain, signer, signal })
      return await lookUntil(() => look(submission, { signal }), { waitMs, pollMs, signal })
    },
  }
}

type Revoking = { readonly chain: EvmChain; readonly signer: ExactEvmClientOptions['signer']; readonly signal: AbortSignal | undefined }

/** Sends the revocation, unless the chain has the nonce as used already: then who used it will be seen. */
async function revoke({ payment, requirements }: Submission, { chain, signer, signal }: Revoking): Promise<void> {
  const domain = tokenDomain(requirements)
  const authorization = readPayload(payment)?.authorization
  if (domain === undefined || authorization === undefined || !isAddress(requirements.asset)) {
    throw evmErrors('evm/unsupported-terms', { why: 'this is no payment by EIP-3009' })
  }
  const cancellation = { authorizer: authorization.from, nonce: authorization.nonce }
  const signature = await signWith(signer, {
    digest: () => cancellationDigest(domain, cancellation),
    typedData: () => cancellationTypedData(domain, cancellation),
  })
  signal?.throwIfAborted()
  const words = [authorization.from, authorization.nonce]
  const call = { target: requirements.asset, data: calldata(words, signature), gas: chain.maxGasPerPayment, alone: true }
  try {
    await sendNext(chain, call, { signal })
  } catch (error) {
    if (!isX402Error(error, 'evm/would-revert') && !isX402Error(error, 'evm/broadcast-unknown')) throw error
  }
}

/** `cancelAuthorization` as every version of the token has it; a smart wallet's signature needs the later one. */
function calldata(words: readonly Hex[], signature: Hex): Hex {
  if (signature.length !== 132) return encodeCall('0xb7b72899', words, signature)
  const [r = 0n, s = 0n] = [decodeWord(signature, 0), decodeWord(signature, 1)]
  return encodeCall('0x5a049a70', [...words, BigInt(`0x${signature.slice(130)}`), r, s])
}

async function lookUntil(
  look: () => Promise<Outcome>,
  { waitMs, pollMs, signal }: { readonly waitMs: number; readonly pollMs: number; readonly signal: AbortSignal | undefined },
): Promise<Outcome> {
  for (let waited = 0; ; waited += pollMs) {
    const outcome = await look()
    if (outcome.status !== 'pending' || waited >= waitMs) return outcome
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    signal?.throwIfAborted()
  }
}
