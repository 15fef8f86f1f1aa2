import type { ClientScheme } from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { committingNonce, nonceSalt } from '../checks/commitment.ts'
import { type EvmPayerOptions, evmPayer, refuseEip3009, type TransferMethod } from '../checks/payer.ts'
import { tokenDomain } from '../checks/signed.ts'
import { toHex } from '../crypto/bytes.ts'
import { type Authorization, transferDigest, transferTypedData } from '../crypto/eip712.ts'
import { signWith } from '../crypto/signer.ts'
import { keyOf } from './wire.ts'

/** What paying by `exact` on EVM chains takes. */
export type ExactEvmClientOptions = EvmPayerOptions & {
  /** Ways to move a token beside EIP-3009, such as `permit2()`. */
  readonly methods?: readonly TransferMethod[]
}

/** Pays by a signed EIP-3009 authorization (x402 `exact` on EVM), and by such other `methods` as it is given. Errors: those of `evmPayer`. */
export function exactEvmClient(options: ExactEvmClientOptions): ClientScheme {
  return evmPayer('exact', [eip3009, ...(options.methods ?? [])], options)
}

const eip3009: TransferMethod = {
  name: 'eip3009',
  refuse: refuseEip3009,
  async sign(requirements, { signer, random, now, maxTimeoutSeconds, binding }) {
    const domain = tokenDomain(requirements)
    const { address: from } = signer
    const { payTo: to, amount } = requirements
    if (domain === undefined || !isAddress(from) || !isAddress(to)) return undefined
    const authorization: Authorization = {
      from,
      to,
      value: BigInt(amount),
      validAfter: 0n,
      validBefore: BigInt(Math.floor(now) + Math.floor(maxTimeoutSeconds)),
      nonce: binding === undefined ? toHex(random(new Uint8Array(32))) : committingNonce(random(new Uint8Array(nonceSalt)), binding),
    }
    const signature = await signWith(signer, {
      digest: () => transferDigest(domain, authorization),
      typedData: () => transferTypedData(domain, authorization),
    })
    return { payload: { signature, authorization: toWire(authorization) }, key: keyOf(authorization, requirements) }
  },
}

function toWire({ from, to, value, validAfter, validBefore, nonce }: Authorization) {
  return { from, to, value: `${value}`, validAfter: `${validAfter}`, validBefore: `${validBefore}`, nonce }
}
