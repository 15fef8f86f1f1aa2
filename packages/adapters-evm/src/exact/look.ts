import type { Sighting, Submission } from '@flow402x/core'
import { encodeCall } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { type LookOptions, lookFor } from '../checks/look.ts'
import { evidenceIn, spendingTopics } from './evidence.ts'
import { keyOf, readPayload } from './wire.ts'

/** What the chain says of a payment by EIP-3009 (`lookFor`). Errors: `evm/rpc`, `evm/call-failed`. */
export async function lookAt({ payment, requirements }: Submission, options: LookOptions): Promise<Sighting> {
  const { network, asset, payTo, amount, maxTimeoutSeconds } = requirements
  const authorization = readPayload(payment)?.authorization
  if (authorization === undefined || !isAddress(asset)) return { status: 'pending', network }
  const { from, nonce, validBefore } = authorization
  const transfer = { asset, from, nonce, payTo, amount: BigInt(amount) }
  const { deadAfter } = keyOf(authorization, requirements)
  return await lookFor(
    {
      network,
      payer: from,
      deadAfter,
      until: validBefore,
      maxTimeoutSeconds,
      spent: { target: asset, data: encodeCall('0xe94a0102', [from, nonce]) },
      logs: { address: asset, topics: spendingTopics(authorization) },
      telling: true,
      async settledIn({ transaction, success, logs }) {
        const paid = success ? evidenceIn(logs, transfer).paid : undefined
        return paid && { status: 'settled', transaction, network, payer: from, amount, logIndex: paid.index }
      },
      reasons: { expired: 'invalid_exact_evm_payload_authorization_valid_before', spent: 'invalid_exact_evm_nonce_already_used' },
    },
    options,
  )
}
