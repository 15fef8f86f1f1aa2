import { type PaymentPayload, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema } from '../chain/address.ts'
import { uint256 } from '../checks/signed.ts'
import type { RidingPermit } from './proxy.ts'
import { type Permit2Authorization, permit2Address, type Refusal } from './wire.ts'

const sponsored = z.object({
  from: addressSchema,
  asset: addressSchema,
  spender: addressSchema,
  amount: uint256,
  deadline: uint256,
  signature: z.string().check(z.regex(/^0x[0-9a-fA-F]{130}$/)),
})
const declared = z.looseObject({ info: z.looseObject({ signature: z.optional(z.unknown()) }) })

// wire.md §21.
const leastSeconds = 6n

/**
 * The EIP-2612 permit that a payer sends along for want of an approval (extension `eip2612GasSponsoring`, wire.md §16.5), so that the
 * proxy takes both in one transaction. Nothing where the extension is only echoed, since then the payer found his approval in place.
 */
export function ridingPermit(
  { extensions }: PaymentPayload,
  { from, permitted }: Permit2Authorization,
  { now }: { readonly now: number },
): RidingPermit | Refusal | undefined {
  const echo = extensions?.eip2612GasSponsoring
  if (echo == null) return undefined
  const { data } = z.safeParse(declared, echo)
  if (data !== undefined && data.info.signature === undefined) return undefined
  const info = z.safeParse(sponsored, data?.info).data
  if (info === undefined) return { reason: 'invalid_eip2612_extension_format' }
  if (!sameAddress(info.from, from)) return { reason: 'eip2612_from_mismatch' }
  if (!sameAddress(info.asset, permitted.token)) return { reason: 'eip2612_asset_mismatch' }
  if (!sameAddress(info.spender, permit2Address)) return { reason: 'eip2612_spender_not_permit2' }
  if (info.deadline < BigInt(Math.floor(now)) + leastSeconds) return { reason: 'eip2612_deadline_expired' }
  if (info.amount !== permitted.amount) return { reason: 'permit2_2612_amount_mismatch' }
  const digits = info.signature.slice(2)
  const parity = BigInt(`0x${digits.slice(128)}`)
  const v = parity < 27n ? parity + 27n : parity
  return { value: info.amount, deadline: info.deadline, r: `0x${digits.slice(0, 64)}`, s: `0x${digits.slice(64, 128)}`, v }
}
