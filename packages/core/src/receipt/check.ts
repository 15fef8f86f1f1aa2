import * as z from 'zod/mini'
import { sameAddress } from '../protocol/asset.ts'
import { memberOf, type PaymentRequired, type PaymentRequirements } from '../protocol/payment.ts'
import type { SettleResponse } from '../protocol/settlement.ts'
import {
  offerReceiptKey,
  readOfferStatement,
  readReceipt,
  type SignedReceipt,
  type StatementVerifier,
  signedOffer,
  signedReceipt,
  signerOf,
} from './statement.ts'

const receiptInfo = z.looseObject({ info: z.looseObject({ receipt: signedReceipt }) })
const offersInfo = z.looseObject({ info: z.looseObject({ offers: z.array(signedOffer).check(z.maxLength(32)) }) })

/** The signed receipt in what came of a payment; nothing where there is none. */
export function findReceipt({ extensions }: Pick<SettleResponse, 'extensions'>): SignedReceipt | undefined {
  return z.safeParse(receiptInfo, memberOf(extensions, offerReceiptKey)).data?.info.receipt
}

/** Whether a seller stands by what it said: `signer` is the wallet that is paid, or a key that the seller names. */
export type ReceiptStanding =
  | { readonly status: 'valid'; readonly signer: string }
  | { readonly status: 'absent' }
  | { readonly status: 'invalid'; readonly why: string }

/** What a receipt must say, and who may have signed it. */
export type ReceiptExpectation = {
  /** The URL that was paid for. */
  readonly url: string
  readonly payer: string
  readonly network: string
  readonly payTo: string
  /** Of the transaction, where the receipt names one. */
  readonly transaction?: string | undefined
  /** Keys beside `payTo` that the seller names in its `.well-known`. */
  readonly keys?: readonly string[]
  readonly verifiers: readonly StatementVerifier[]
  /** Between these it was issued, in Unix seconds, both included. */
  readonly issued?: { readonly from: number; readonly until: number }
}

/** Holds a receipt against what was bought. A receipt that fails proves nothing, and says nothing of whether money moved. */
export async function checkReceipt(receipt: SignedReceipt | undefined, expected: ReceiptExpectation): Promise<ReceiptStanding> {
  if (receipt === undefined) return { status: 'absent' }
  const payload = readReceipt(receipt)
  if (payload === undefined) return invalid('it cannot be read')
  const { url, payer, network, transaction, issued } = expected
  if (payload.resourceUrl !== url) return invalid('it is for another URL')
  if (payload.network !== network) return invalid('it is for another network')
  if (!sameAddress(payload.payer, payer)) return invalid('it is for another payer')
  const named = payload.transaction ?? ''
  if (named !== '' && transaction !== undefined && !sameAddress(named, transaction)) return invalid('it names another transaction')
  if (issued !== undefined && (payload.issuedAt < issued.from || payload.issuedAt > issued.until))
    return invalid('it was issued at another time')
  return bySeller(await signerOf({ kind: 'receipt', payload }, { proof: receipt, verifiers: expected.verifiers }), expected)
}

/** Which of the ways to pay are signed by their payee, or by a key that the seller names, and are to be had at `now` (Unix seconds). */
export async function signedTerms(
  { resource, accepts, extensions }: PaymentRequired,
  { now, ...seller }: { readonly now: number; readonly verifiers: readonly StatementVerifier[]; readonly keys?: readonly string[] },
): Promise<readonly PaymentRequirements[]> {
  const offers = z.safeParse(offersInfo, memberOf(extensions, offerReceiptKey)).data?.info.offers ?? []
  const found = new Set<PaymentRequirements>()
  for (const offer of offers) {
    const payload = readOfferStatement(offer)
    if (payload === undefined || payload.resourceUrl !== resource.url || (payload.validUntil ?? now) < now) continue
    const { scheme, network, asset, payTo, amount } = payload
    const terms = accepts.find(
      (one) =>
        one.scheme === scheme &&
        one.network === network &&
        one.amount === amount &&
        sameAddress(one.asset, asset) &&
        sameAddress(one.payTo, payTo),
    )
    if (terms === undefined) continue
    const signer = await signerOf({ kind: 'offer', payload }, { proof: offer, verifiers: seller.verifiers })
    if (bySeller(signer, { ...seller, payTo }).status === 'valid') found.add(terms)
  }
  return accepts.filter((one) => found.has(one))
}

function bySeller(
  signer: string | undefined,
  { payTo, keys = [] }: { readonly payTo: string; readonly keys?: readonly string[] },
): ReceiptStanding {
  if (signer === undefined) return invalid('its signature is false, or of a kind that is not known here')
  return [payTo, ...keys].some((key) => sameAddress(key, signer))
    ? { status: 'valid', signer }
    : invalid(`${signer} signed it, who is not the seller`)
}

function invalid(why: string): ReceiptStanding {
  return { status: 'invalid', why }
}
