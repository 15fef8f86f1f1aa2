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

/** Where a method reads. */
export const commitmentField = { commitment: z.nullish(commitmentSchema), minContextSlot: z.nullish(countSchema) }

/** The configuration that most methods take last. */
export const configSchema = z.nullish(z.looseObject(commitmentField))

/** How account data is written. */
export const accountConfigSchema = z.nullish(
  z.looseObject({
    ...commitmentField,
    encoding: z.nullish(z.enum(['base58', 'base64', 'base64+zstd', 'jsonParsed'])),
    dataSlice: z.nullish(z.looseObject({ offset: countSchema, length: countSchema })),
  }),
)

/** How account data is written, and which part. */
export type AccountConfig = z.infer<typeof accountConfigSchema>

/** How transactions are written. */
export const transactionEncodingSchema = z.enum(['json', 'jsonParsed', 'base58', 'base64'])

/** How transactions are written. */
export type TransactionEncoding = z.infer<typeof transactionEncodingSchema>

/** How the bytes of a parameter are written; base58 unless told. */
export const wireEncodingField = { encoding: z.nullish(z.enum(['base58', 'base64'])) }

/** Reads bytes of a parameter. Errors: `testing/solana-refused` with -32602. */
export function readBytes(text: string, encoding: 'base58' | 'base64'): Uint8Array {
  try {
    if (encoding === 'base58') return Uint8Array.from(getBase58Encoder().encode(text))
  } catch {
    throw refuse('invalidParameters', 'invalid base58 encoding')
  }
  const bytes = Buffer.from(text, 'base64')
  // Buffer leaves out what it cannot read.
  if (bytes.toString('base64') !== text) throw refuse('invalidParameters', 'invalid base64 encoding')
  return Uint8Array.from(bytes)
}
