import * as z from 'zod/mini'
import { readJws } from './jws.ts'

/** The key of the extension, in a 402 and in a receipt (wire.md §16.4). */
export const offerReceiptKey = 'offer-receipt'

const text = (most: number) => z.string().check(z.minLength(1), z.maxLength(most))
const seconds = z.int().check(z.nonnegative())

/** What a seller signs of one way to pay: these terms, for this URL, until then (Unix seconds). */
export const offerPayload = z.looseObject({
  version: z.literal(1),
  resourceUrl: text(4096),
  scheme: text(64),
  network: text(80),
  asset: text(128),
  payTo: text(128),
  amount: text(78),
  validUntil: z.optional(seconds),
})

/** What a seller signs of one way to pay: these terms, for this URL, until then (Unix seconds). */
export type OfferPayload = z.infer<typeof offerPayload>

/** What a seller signs of a payment: who paid for which URL and when (Unix seconds). Without the transaction where it is not told. */
export const receiptPayload = z.looseObject({
  version: z.literal(1),
  network: text(80),
  resourceUrl: text(4096),
  payer: text(128),
  issuedAt: seconds,
  transaction: z.optional(z.string().check(z.maxLength(128))),
})

/** What a seller signs of a payment: who paid for which URL and when (Unix seconds). Without the transaction where it is not told. */
export type ReceiptPayload = z.infer<typeof receiptPayload>

/** One of the two things a seller signs. */
export type Statement =
  | { readonly kind: 'offer'; readonly payload: OfferPayload }
  | { readonly kind: 'receipt'; readonly payload: ReceiptPayload }

/** A signature and its form: EIP-712 as 65 bytes of hex over the payload beside it, or a compact JWS that holds the payload itself. */
export type Proof = { readonly format: 'eip712' | 'jws'; readonly signature: string }

const signature = text(8192)
const jws = z.looseObject({ format: z.literal('jws'), signature })

/** A receipt as it travels, in `extensions["offer-receipt"].info.receipt` of what `PAYMENT-RESPONSE` holds. */
export const signedReceipt = z.union([z.looseObject({ format: z.literal('eip712'), payload: receiptPayload, signature }), jws])

/** A receipt as it travels, in `extensions["offer-receipt"].info.receipt` of what `PAYMENT-RESPONSE` holds. */
export type SignedReceipt = z.infer<typeof signedReceipt>

const acceptIndex = z.optional(seconds)

/** An offer as it travels, in `extensions["offer-receipt"].info.offers` of a 402; `acceptIndex` is a hint that nobody signed. */
export const signedOffer = z.union([
  z.looseObject({ format: z.literal('eip712'), payload: offerPayload, signature, acceptIndex }),
  z.extend(jws, { acceptIndex }),
])

/** An offer as it travels, in `extensions["offer-receipt"].info.offers` of a 402; `acceptIndex` is a hint that nobody signed. */
export type SignedOffer = z.infer<typeof signedOffer>

/** Signs what a seller says, as one account: the wallet that is paid, or a key that the seller names in its `.well-known`. */
export interface StatementSigner {
  /** The account as its chain family writes it. */
  readonly address: string
  /** Networks whose payments it signs for, such as `eip155:*`; the first that fits one signs. */
  readonly networks: readonly string[]
  sign(statement: Statement): Promise<Proof>
}

/** Says who signed; nothing where the signature is false, or of a kind that it does not know. */
export interface StatementVerifier {
  signerOf(statement: Statement, proof: Proof): Promise<string | undefined>
}

/** What a receipt says, whoever signed it; nothing where it says nothing that can be read. */
export function readReceipt(receipt: SignedReceipt): ReceiptPayload | undefined {
  return receipt.format === 'eip712' ? receipt.payload : z.safeParse(receiptPayload, readJws(receipt.signature)?.payload).data
}

/** What an offer says, whoever signed it; nothing where it says nothing that can be read. */
export function readOfferStatement(offer: SignedOffer): OfferPayload | undefined {
  return offer.format === 'eip712' ? offer.payload : z.safeParse(offerPayload, readJws(offer.signature)?.payload).data
}

/** Who signed, by the first verifier that knows. */
export async function signerOf(
  statement: Statement,
  { proof, verifiers }: { readonly proof: Proof; readonly verifiers: readonly StatementVerifier[] },
): Promise<string | undefined> {
  for (const verifier of verifiers) {
    const signer = await verifier.signerOf(statement, proof)
    if (signer !== undefined) return signer
  }
  return undefined
}
