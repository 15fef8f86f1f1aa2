import { type Asset, type Extension, type PaymentPayload, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema } from '../chain/address.ts'
import { uint256 } from '../checks/signed.ts'
import type { RidingPermit } from './proxy.ts'
import { type Permit2Authorization, permit2Address, type Refusal } from './wire.ts'

/** The extension in which a payer without an approval sends a signed EIP-2612 permit along (wire.md §16.5). */
export const permitSponsoring = 'eip2612GasSponsoring'

/** The extension in which he sends the signed transaction of his approval along, for tokens that have no permit. */
export const approvalSponsoring = 'erc20ApprovalGasSponsoring'

/** What a seller offers to payers of a token who have not approved Permit2. */
export function sponsoringsOf({ eip712, permit }: Asset): readonly Extension[] {
  const byPermit = offer(permitSponsoring, 'Without an approval: add an EIP-2612 permit for Permit2.')
  const byApproval = offer(approvalSponsoring, 'Without an approval: add a signed transaction that approves Permit2.')
  return eip712 === undefined || permit === false ? [byApproval] : [byPermit, byApproval]
}

function offer(key: string, description: string): Extension {
  return { key, declare: () => ({ info: { description, version: '1' } }) }
}

const declared = z.looseObject({ info: z.looseObject({}) })

/** What every sponsoring says of the approval it stands for. */
export const sponsoredFields = { from: addressSchema, asset: addressSchema, spender: addressSchema, amount: uint256 }

/**
 * What a payer says in an extension; `echoed` where he only repeats the offer, since then he found his approval in place, and `malformed`
 * where it is not of this form.
 */
export function saidIn<Schema extends z.ZodMiniType>(
  { extensions }: PaymentPayload,
  { key, signed, schema }: { readonly key: string; readonly signed: string; readonly schema: Schema },
): z.infer<Schema> | 'echoed' | 'malformed' {
  const echo = extensions?.[key]
  if (echo == null) return 'echoed'
  const { data } = z.safeParse(declared, echo)
  if (data !== undefined && data.info[signed] === undefined) return 'echoed'
  return z.safeParse(schema, data?.info).data ?? 'malformed'
}

const permitSchema = z.object({
  ...sponsoredFields,
  deadline: uint256,
  signature: z.string().check(z.regex(/^0x[0-9a-fA-F]{130}$/)),
})

// wire.md §21.
const leastSeconds = 6n

/**
 * The EIP-2612 permit that a payer sends along for want of an approval (wire.md §16.5), so that the proxy takes both in one
 * transaction; nothing where he sends none. Whether its signature is good shows in the simulation.
 */
export function ridingPermit(
  payment: PaymentPayload,
  { from, permitted }: Pick<Permit2Authorization, 'from' | 'permitted'>,
  { now }: { readonly now: number },
): RidingPermit | Refusal | undefined {
  const info = saidIn(payment, { key: permitSponsoring, signed: 'signature', schema: permitSchema })
  if (info === 'echoed') return undefined
  if (info === 'malformed') return { reason: 'invalid_eip2612_extension_format' }
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
