import { type Address, getBase58Encoder, isAddress, isSignature, type Signature } from '@solana/kit'
import * as z from 'zod/mini'
import { commitmentSchema } from '../ledger/slots.ts'
import { refuse } from '../refusal.ts'

/** A public key in base58. */
export const addressSchema = z.custom<Address>((value) => typeof value === 'string' && isAddress(value), 'expected a public key in base58')

/** A signature in base58. */
export const signatureSchema = z.custom<Signature>(
  (value) => typeof value === 'string' && isSignature(value),
  'expected a signature in base58',
)

/** A count that a double holds exactly. */
export const countSchema = z.number().check(z.int(), z.nonnegative())

/** How transactions are written. */
export const transactionEncodingSchema = z.enum(['json', 'jsonParsed', 'base58', 'base64'])

/** How transactions are written. */
export type TransactionEncoding = z.infer<typeof transactionEncodingSchema>

const reading = { commitment: z.nullish(commitmentSchema), minContextSlot: z.nullish(countSchema) }

type ConfigSchema<Fields extends z.core.$ZodLooseShape> = z.ZodMiniOptional<
  z.ZodMiniNullable<z.ZodMiniObject<typeof reading & Fields, z.core.$loose>>
>

/** The configuration that most methods take last and that may be missing: where they read, and fields of their own. */
export function configSchema<Fields extends z.core.$ZodLooseShape>(fields: Fields): ConfigSchema<Fields> {
  return z.nullish(z.looseObject({ ...reading, ...fields }))
}

/** The fields of a configuration that say how account data is written, and which part. */
export const accountFields = {
  encoding: z.nullish(z.enum(['base58', 'base64', 'base64+zstd', 'jsonParsed'])),
  dataSlice: z.nullish(z.looseObject({ offset: countSchema, length: countSchema })),
}

/** How account data is written, and which part. */
export const accountConfigSchema = configSchema(accountFields)

/** How account data is written, and which part. */
export type AccountConfig = z.infer<typeof accountConfigSchema>

/** How the bytes of a transaction are written; base58 unless told. */
export const wireEncodingSchema = z.nullish(z.enum(['base58', 'base64']))

/** Reads bytes of a parameter. Errors: `testing/solana-refused` with -32602. */
export function readBytes(text: string, encoding: z.infer<typeof wireEncodingSchema>): Uint8Array {
  return encoding === 'base64' ? readBase64(text) : readBase58(text)
}

function readBase58(text: string): Uint8Array {
  // Reading base58 takes the square of its length in time; a transaction has fewer characters.
  if (text.length > longestBase58)
    throw refuse('invalidParameters', `base58 encoded data too large: ${text.length} bytes (max: ${longestBase58} bytes)`)
  try {
    return Uint8Array.from(getBase58Encoder().encode(text))
  } catch {
    throw refuse('invalidParameters', 'invalid base58 encoding')
  }
}

const longestBase58 = 1_683

function readBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  // Buffer leaves out what it cannot read.
  if (bytes.toString('base64') !== text) throw refuse('invalidParameters', 'invalid base64 encoding')
  return Uint8Array.from(bytes)
}
