import type { Asset } from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import type { SellerWay } from '../checks/seller.ts'
import { lookAt } from './look.ts'
import { sponsoringsOf } from './sponsoring.ts'
import { type Permit2Scheme, paymentKey, readPayload, refuseSigned, refuseTerms } from './wire.ts'

/** How a seller is paid by Permit2. Errors: `config/no-authorizations` for an asset that is no token of an EVM chain. */
export function permit2Way(scheme: Permit2Scheme, asset: Asset): SellerWay {
  const { network, symbol, transfer, eip712, permit } = asset
  if (transfer !== 'permit2' && transfer !== 'eip3009') throw evmErrors('config/no-authorizations', { network, asset: symbol })
  // Where the token has no EIP-2612, its domain would have clients sign a permit that nothing takes (wire.md §6.1).
  const domain = eip712 === undefined || permit === false ? {} : { name: eip712.name, version: eip712.version }
  return {
    scheme: scheme.scheme,
    flows: scheme.scheme === 'upto' ? ['authorization'] : ['authorization', 'upfront'],
    extensions: sponsoringsOf(asset),
    extra: (kind) => ({ ...domain, assetTransferMethod: 'permit2', ...facilitatorIn(scheme, kind?.extra?.facilitatorAddress) }),
    key: (payment) => paymentKey(scheme, payment),
    check(submission, { network: here, now }) {
      const wrongTerms = refuseTerms(scheme, submission, here)
      if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
      const authorization = readPayload(scheme, submission.payment)?.permit2Authorization
      if (authorization === undefined) return { valid: false, reason: 'invalid_payload' }
      const { from: payer, witness } = authorization
      const refusal = refuseSigned(scheme, authorization, { ...submission, now })
      if (refusal !== undefined) return { valid: false, ...refusal, payer }
      const named = submission.requirements.extra?.facilitatorAddress
      const isNamed = scheme.scheme === 'exact' || String(named).toLowerCase() === witness.facilitator?.toLowerCase()
      return isNamed ? { valid: true, payer } : { valid: false, reason: 'upto_facilitator_mismatch', payer }
    },
    read(payment) {
      const authorization = readPayload(scheme, payment)?.permit2Authorization
      return authorization && { payer: authorization.from, nonce: `0x${authorization.nonce.toString(16).padStart(64, '0')}` }
    },
    look: (submission, options) => lookAt(scheme, submission, options),
  }
}

/** Who alone may settle, as the facilitator said; nothing while a route is only being checked. */
function facilitatorIn({ scheme }: Permit2Scheme, address: unknown): { readonly facilitatorAddress?: string } {
  return scheme === 'upto' && typeof address === 'string' && isAddress(address) ? { facilitatorAddress: address } : {}
}
