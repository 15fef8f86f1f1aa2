import { paymentSignatureHeader } from '@flow402x/core'
import { decodePaymentSignatureHeader, encodePaymentSignatureHeader } from '@x402/core/http'
import { PaymentPayloadV2Schema } from '@x402/core/schemas'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import type { Hex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { ourScheme, signPayments } from '../houses/ours.ts'
import { type Curve, type House, requirementsFor } from '../houses/terms.ts'
import { playRole, roleArgument, usage } from '../measure/part.ts'

/** Whose code makes and reads payments, and on which curve. */
export type PayloadArgument = { readonly house: House; readonly curve: Curve; readonly key: Hex; readonly payTo: string }

/** Each gives the CPU of one operation in microseconds. */
export type PayloadCalls = { codec(count: number): Promise<number>; sign(count: number): Promise<number> }

const { house, curve, key, payTo } = roleArgument<PayloadArgument>()
const requirements = requirementsFor(payTo)
const [sample] = await signPayments(key, { requirements, count: 1 })
const payment = sample?.payment

playRole({}, { codec: (count: number) => perOperation(count, codec()), sign: (count: number) => perOperation(count, signing()) })

function codec(): () => unknown {
  if (payment === undefined) return () => undefined
  if (house === 'ours') return () => paymentSignatureHeader.decode(paymentSignatureHeader.encode(payment))
  // The same wire format by the official declaration; its decoder checks nothing, its schema does.
  const official = payment as Parameters<typeof encodePaymentSignatureHeader>[0]
  return () => PaymentPayloadV2Schema.parse(decodePaymentSignatureHeader(encodePaymentSignatureHeader(official)))
}

function signing(): () => Promise<unknown> {
  if (house === 'ours') {
    const scheme = ourScheme(key, curve)
    return () => scheme.prepare(requirements, { now: Date.now() / 1000, maxTimeoutSeconds: 300 })
  }
  const scheme = new ExactEvmScheme(privateKeyToAccount(key))
  // The same wire format by the official declaration.
  const official = requirements as Parameters<typeof scheme.createPaymentPayload>[1]
  return () => scheme.createPaymentPayload(2, official)
}

async function perOperation(count: number, operation: () => unknown): Promise<number> {
  for (let index = 0; index < count / 4; index += 1) await operation()
  const before = usage().cpu
  for (let index = 0; index < count; index += 1) await operation()
  return (usage().cpu - before) / count
}
