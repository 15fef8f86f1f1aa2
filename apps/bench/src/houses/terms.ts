import type { PaymentPayload, PaymentRequired, PaymentRequirements } from '@flow402x/core'
import type { Hex } from 'viem'

/** The houses that are compared. */
export type House = 'ours' | 'official'

/** The one network of every row. */
export const network = 'eip155:84532'

/** What every route costs: a tenth of a cent. */
export const price = { text: '$0.001', atomic: 1000n }

/** Where the goods stand, and what stands beside them without a price. */
export const paths = { goods: '/goods', free: '/free' }

/** What a handler gives. */
export const goods = { goods: 'something worth a tenth of a cent' }

/** The requirements that every payment of the rows answers. */
export function requirementsFor(payTo: string): PaymentRequirements {
  return {
    scheme: 'exact',
    network,
    amount: String(price.atomic),
    asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
    payTo,
    maxTimeoutSeconds: 300,
    extra: { name: 'USDC', version: '2' },
  }
}

/** A 402 as it goes over the wire. */
export function requiredFor(payTo: string, url: string): PaymentRequired {
  return {
    x402Version: 2,
    error: 'Payment required',
    resource: { url, description: '', mimeType: '' },
    accepts: [requirementsFor(payTo)],
  }
}

/** A payment with what it pays for, as both houses take them. */
export type Signed = { readonly payment: PaymentPayload; readonly requirements: PaymentRequirements }

/** What came of settling one payment. */
export type Settled = { readonly settled: boolean; readonly transaction: string; readonly reason: string }

/** A facilitator of either house, held in process. */
export type Settler = {
  verify(signed: Signed): Promise<boolean>
  settle(signed: Signed): Promise<Settled>
  /** Serves it over HTTP, as its own house does. */
  serve(): Promise<string>
}

/** How the official facilitator counts its nonces: as its examples do, or with viem's nonce manager. */
export type Nonces = 'as wired' | 'managed'

/** Which code computes the curve: the native binary, or plain JavaScript. */
export type Curve = 'native' | 'pure JS'

/** A text that is known to be hexadecimal, as viem wants it. */
export function hex(text: string): Hex {
  return `0x${text.slice(2)}`
}
