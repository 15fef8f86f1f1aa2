import { paymentPayload, type SignedPayment } from '@flow402x/core'
import * as z from 'zod/mini'

/** What becomes of a call that pays. */
export const callStates = ['signing', 'open', 'paid', 'released'] as const

/** A payment as it was signed, once it is read. */
export const signedPayment: z.ZodMiniType<SignedPayment> = z.object({
  key: z.object({ id: z.string(), payer: z.string(), deadAfter: z.number() }),
  payment: paymentPayload,
  version: z.union([z.literal(1), z.literal(2)]),
  url: z.string(),
  method: z.string(),
  maxTimeoutSeconds: z.number(),
  transfer: z.exactOptional(z.string()),
  headers: z.exactOptional(z.record(z.string(), z.string())),
})
