import type { Asset, ServerScheme } from '@flow402x/core'
import { evmErrors } from '../chain/errors.ts'
import { type EvmSellerOptions, evmSeller, type SellerWay } from '../checks/seller.ts'
import { permit2Way } from '../permit2/seller.ts'
import { exactPermit2 } from '../permit2/wire.ts'
import { lookAt } from './look.ts'
import { paymentKey, readPayload, refuseAuthorization, refuseTerms } from './wire.ts'

/** What being paid by `exact` on an EVM network takes. */
export type ExactEvmServerOptions = EvmSellerOptions & {
  /** How the token is moved: by EIP-3009 where it can be, and else by Permit2, unless told. */
  readonly transfer?: 'eip3009' | 'permit2'
}

/**
 * Is paid by signed EIP-3009 authorizations, or by Permit2 where the token has none (x402 `exact` on EVM).
 *
 * Errors: those of `evmSeller`, and `config/no-authorizations`.
 */
export function exactEvmServer(options: ExactEvmServerOptions): ServerScheme {
  return evmSeller(options, (asset) =>
    (options.transfer ?? asset.transfer) === 'permit2' ? permit2Way(exactPermit2, asset) : eip3009Way(asset),
  )
}

function eip3009Way({ network, symbol, transfer, eip712 }: Asset): SellerWay {
  if (transfer !== 'eip3009' || eip712 === undefined) throw evmErrors('config/no-authorizations', { network, asset: symbol })
  const { name, version } = eip712
  return {
    scheme: 'exact',
    flows: ['authorization', 'upfront'],
    extra: () => ({ name, version }),
    key: paymentKey,
    check(submission, { network, now }) {
      const wrongTerms = refuseTerms(submission, network)
      if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
      const payload = readPayload(submission.payment)
      if (payload === undefined) return { valid: false, reason: 'invalid_payload' }
      const { authorization } = payload
      const refusal = refuseAuthorization(authorization, { requirements: submission.requirements, now })
      return refusal === undefined ? { valid: true, payer: authorization.from } : { valid: false, ...refusal, payer: authorization.from }
    },
    read(payment) {
      const authorization = readPayload(payment)?.authorization
      return authorization && { payer: authorization.from, nonce: authorization.nonce }
    },
    look: lookAt,
  }
}
