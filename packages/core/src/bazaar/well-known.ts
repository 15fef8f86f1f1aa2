import * as z from 'zod/mini'
import { paymentRequirements } from '../protocol/payment.ts'

/** Where an origin lists what it sells. */
export const wellKnownPath = '/.well-known/x402'

/**
 * What stands at `/.well-known/x402`: every paid resource of an origin, by its URL or as a discovery item has it, and whom the origin is
 * paid for. Who can write there owns the origin (H41).
 */
export const wellKnown = z.looseObject({
  resources: z.array(z.union([z.string(), z.looseObject({ resource: z.string(), accepts: z.nullish(z.array(paymentRequirements)) })])),
  payTo: z.nullish(z.array(z.string())),
  /** Keys that sign offers and receipts beside the wallets in `payTo`. */
  receiptKeys: z.nullish(z.array(z.string().check(z.maxLength(128))).check(z.maxLength(16))),
})

/** What stands at `/.well-known/x402`. */
export type WellKnown = z.infer<typeof wellKnown>

/** The name whose TXT records say `payTo=…` of a host, where its owner would rather not serve a file. */
export function ownerRecord(hostname: string): string {
  return `_x402.${hostname}`
}
