import type { Asked, Extension, ExtensionDeclaration, Sold } from '../protocol/extension.ts'
import type { PaymentRequirements } from '../protocol/payment.ts'
import { type OfferPayload, offerReceiptKey, type Proof, type SignedOffer, type StatementSigner } from './statement.ts'

/** How a seller signs. */
export type OfferReceiptOptions = {
  /** Who signs: of several, the first whose networks fit. */
  readonly signers: readonly StatementSigner[]
  /** Whether a 402 carries each of its offers signed; true unless told. They are left out of a 402 that would be too large with them. */
  readonly offers?: boolean
  /** Whether receipts name the transaction; true unless told. Without it they prove less, and tell less to whoever is shown one. */
  readonly transaction?: boolean
  /** The most offers signed in a second; 200 unless told. Who asks for more gets them unsigned, so that nobody keeps a key busy. */
  readonly offersPerSecond?: number
}

type Kept = { readonly validUntil: number; readonly offer: Promise<SignedOffer> }

const mostKept = 256
// What is signed names its URL, in a header that must stay one that HTTP clients read: what is paid for must not be lost by its receipt.
const longestUrl = 2048

/** Signs the offers of a server's 402s and the receipts of what was paid (wire.md §16.4), as an extension of the server or of a route. */
export function offerReceipt(options: OfferReceiptOptions): Extension {
  const { signers, offers = true, transaction: isNamed = true } = options
  const signOffer = offerSigner(options)
  const ask = async ({ resource, accepts, now }: Asked): Promise<ExtensionDeclaration> => {
    const signed = await Promise.all(accepts.map(async (terms, index) => signOffer(terms, { url: resource.url, index, now })))
    return { info: { offers: signed.filter((offer) => offer !== undefined) } }
  }
  return {
    key: offerReceiptKey,
    dynamic: ['offers'],
    declare: () => ({ info: {} }),
    ...(offers ? { ask } : {}),
    async receipt({ url, payer, network, transaction, at }: Sold) {
      const signer = signerFor(signers, network)
      if (signer === undefined || payer === '' || url.length > longestUrl) return undefined
      // The JWS leaves out what EIP-712 writes as an empty text.
      const said = {
        version: 1,
        network,
        resourceUrl: url,
        payer,
        issuedAt: at,
        ...(isNamed && transaction !== '' ? { transaction } : {}),
      } as const
      const proof = await signer.sign({ kind: 'receipt', payload: said })
      return { info: { receipt: withPayload(proof, { ...said, transaction: said.transaction ?? '' }) } }
    },
  }
}

type Place = { readonly url: string; readonly index: number; readonly now: number }

/** Signs an offer once and shows it until half of its time is over. */
function offerSigner({
  signers,
  offersPerSecond = 200,
}: OfferReceiptOptions): (terms: PaymentRequirements, place: Place) => Promise<SignedOffer | undefined> {
  const kept = new Map<string, Kept>()
  let second = 0
  let signed = 0
  return async ({ scheme, network, asset, payTo, amount, maxTimeoutSeconds }, { url, index, now }) => {
    const signer = signerFor(signers, network)
    if (signer === undefined || url.length > longestUrl) return undefined
    const said = { version: 1, resourceUrl: url, scheme, network, asset, payTo, amount } as const
    const id = JSON.stringify([index, said])
    const known = kept.get(id)
    if (known !== undefined && known.validUntil - now > maxTimeoutSeconds / 2) return await known.offer
    if (second !== now) [second, signed] = [now, 0]
    signed += 1
    if (signed > offersPerSecond) return undefined
    const validUntil = now + Math.ceil(maxTimeoutSeconds)
    const payload: OfferPayload = { ...said, validUntil }
    const offer = signer
      .sign({ kind: 'offer', payload })
      .then((proof): SignedOffer => ({ ...withPayload(proof, payload), acceptIndex: index }))
    const [oldest] = kept.keys()
    if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
    kept.delete(id)
    kept.set(id, { validUntil, offer })
    return await offer.catch((error: unknown) => {
      kept.delete(id)
      throw error
    })
  }
}

function signerFor(signers: readonly StatementSigner[], network: string): StatementSigner | undefined {
  return signers.find(({ networks }) =>
    networks.some((one) => one === network || (one.endsWith(':*') && network.startsWith(one.slice(0, -1)))),
  )
}

function withPayload<Payload>({ format, signature }: Proof, payload: Payload) {
  return format === 'eip712' ? { format, payload, signature } : { format, signature }
}
