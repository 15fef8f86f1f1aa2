import * as z from 'zod/mini'
import { fromBase64, textToBase64 } from '../calls/base64.ts'
import { coreErrors } from './errors.ts'
import { type PaymentPayload, type PaymentRequired, paymentPayload, paymentRequired } from './payment.ts'
import { type SettleResponse, settleResponse } from './settlement.ts'

/** The only way across the wire for one header: base64 over JSON, typed by a schema going out and checked by it coming in. */
export type HeaderCodec<Value> = {
  /** The header's name as the specification writes it. */
  readonly name: string
  /** The most characters that are read. */
  readonly limit: number
  /** The header's value. */
  encode(value: Value): string
  /** The checked value. Errors: `headers/too-large`, `headers/malformed`; of a receipt, `headers/bad-receipt`. */
  decode(header: string): Value
}

/** What is asked of a codec: the schema of its value and its size limit in characters. */
export type HeaderCodecOptions<Value> = {
  readonly schema: z.ZodMiniType<Value>
  readonly limit: number
  /** Whether its JSON is kept to ASCII, for readers that take bytes for characters. */
  readonly ascii?: boolean
  /** Whether it tells what came of a payment: one that cannot be read then says that money may have moved. */
  readonly receipt?: boolean
}

/** Builds the codec of one header. */
export function headerCodec<Value>(name: string, options: HeaderCodecOptions<Value>): HeaderCodec<Value> {
  const { schema, limit, ascii = false, receipt = false } = options
  const malformed = (why: string, cause?: unknown) =>
    coreErrors(receipt ? 'headers/bad-receipt' : 'headers/malformed', { header: name, why, cause })
  return {
    name,
    limit,
    encode: (value) => textToBase64(ascii ? escapeNonAscii(JSON.stringify(value)) : JSON.stringify(value)),
    decode(header) {
      const { length } = header
      if (length > limit && receipt) throw malformed(`it has ${length} characters, and at most ${limit} are read`)
      if (length > limit) throw coreErrors('headers/too-large', { header: name, length, limit })
      // Padding may be missing; white space, url-safe letters and joined values are refused (wire.md §1.1).
      const bytes = fromBase64(header)
      if (bytes === undefined) throw malformed('it is not one value of standard base64')
      const parsed = z.safeParse(schema, parseJson(bytes, malformed))
      if (!parsed.success) throw malformed(firstIssue(parsed.error))
      return parsed.data
    },
  }
}

/** `PAYMENT-REQUIRED`, server to client (x402 v2, HTTP transport). Decoding allows the 16 kB that HTTP runtimes do. */
export const paymentRequiredHeader: HeaderCodec<PaymentRequired> = headerCodec('PAYMENT-REQUIRED', {
  schema: paymentRequired,
  limit: 16_384,
})

/** `PAYMENT-SIGNATURE`, client to server (x402 v2, HTTP transport): at most 8 kB. */
export const paymentSignatureHeader: HeaderCodec<PaymentPayload> = headerCodec('PAYMENT-SIGNATURE', { schema: paymentPayload, limit: 8192 })

/** `PAYMENT-RESPONSE`, server to client (x402 v2, HTTP transport). */
export const paymentResponseHeader: HeaderCodec<SettleResponse> = headerCodec('PAYMENT-RESPONSE', {
  schema: settleResponse,
  limit: 16_384,
  receipt: true,
})

/** The first thing a schema found wrong, as `path: message`. */
export function firstIssue(error: z.core.$ZodError): string {
  const issue = error.issues[0]
  return issue === undefined ? 'it does not fit the schema' : `${issue.path.join('.') || 'value'}: ${issue.message}`
}

/** The header by which a handler says what was used of a ceiling; it never leaves the server (wire.md §5.4). */
export const settlementOverridesHeader = 'Settlement-Overrides'

const settlementOverrides = z.looseObject({ amount: z.string().check(z.minLength(1)) })

/** The amount in `Settlement-Overrides`, as its scheme reads it: atomic units, `"$0.01"` or `"12.5%"`; nothing for other text. */
export function readSettlementOverride(text: string): string | undefined {
  try {
    return z.safeParse(settlementOverrides, JSON.parse(text)).data?.amount
  } catch {
    return undefined
  }
}

function parseJson(bytes: Uint8Array, malformed: (why: string, cause?: unknown) => Error): unknown {
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch (cause) {
    throw malformed('it does not hold UTF-8 JSON', cause)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function escapeNonAscii(json: string): string {
  return json.replaceAll(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
