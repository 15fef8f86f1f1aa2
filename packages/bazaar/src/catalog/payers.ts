import { sameAddress } from '@flow402x/core'
import type {
  CatalogueEntry,
  CatalogueStore,
  Listing,
  PaymentWitness,
  RatingRequest,
  RatingResponse,
  WitnessedTransfer,
} from '@flow402x/core/bazaar'
import { plainText, ratingText } from '@flow402x/core/bazaar'
import { checkReceipt, offerReceiptKey, type StatementVerifier } from '@flow402x/core/receipt'

/** With what payers are heard. */
export type PayersOptions = {
  readonly catalogue: CatalogueStore
  readonly witnesses: readonly PaymentWitness[]
  /** Who can tell signers of receipts; without any, receipts are not asked for. */
  readonly verifiers: readonly StatementVerifier[]
  /** Wallets that fund everybody, such as an exchange's: who got his money there is nobody's man for that. */
  readonly hubs: readonly string[]
  readonly clock: () => number
}

/** A payment that somebody says was made for a listing. */
export type ClaimedPayment = {
  readonly network: string
  readonly transaction: string
  readonly payer: string
  readonly signal: AbortSignal | undefined
}

type Found = 'unseen' | 'other' | { readonly witness: PaymentWitness; readonly transfer: WitnessedTransfer }

/** Payers of listings. */
export type Payers = {
  /** Keeps a payment for a listing, and says whether its chain shows one. */
  witnessPayment(listing: Pick<Listing, 'key' | 'accepts'>, payment: ClaimedPayment): Promise<'unseen' | 'other' | 'kept'>
  /** Takes a rating, or says why not. */
  rate(entry: CatalogueEntry, rating: RatingRequest, signal: AbortSignal | undefined): Promise<RatingResponse>
}

const mostKnown = 10_000
const mostHops = 4

/** Hears payers: each word is signed by its wallet and bound to a transfer that the chain itself shows (M34). */
export function createPayers({ catalogue, witnesses, verifiers, hubs, clock }: PayersOptions): Payers {
  const known = new Map<string, Promise<readonly string[]>>()

  /** Who stands behind a wallet, from itself to the first funder of its funders, as far as the chain says. */
  function fundersOf(witness: PaymentWitness, address: string, options: FunderOptions): Promise<readonly string[]> {
    const name = `${witness.network} ${options.asset} ${options.least} ${spelled(address)}`
    const found = known.get(name) ?? findFunders(witness, address, options)
    known.delete(name)
    known.set(name, found)
    found.catch(() => known.delete(name))
    const [oldest] = known.keys()
    if (known.size > mostKnown && oldest !== undefined) known.delete(oldest)
    return found
  }

  async function findFunders(witness: PaymentWitness, address: string, options: FunderOptions): Promise<readonly string[]> {
    const chain = [spelled(address)]
    while (chain.length <= mostHops) {
      const funder = await witness.funder(chain.at(-1) ?? address, options)
      if (funder === undefined || chain.includes(spelled(funder)) || hubs.some((hub) => sameAddress(hub, funder))) break
      chain.push(spelled(funder))
    }
    return chain
  }

  /** The transfer that paid for a listing, as its chain shows it; what the chain does not show is nothing. */
  async function findTransfer(
    { accepts }: Pick<Listing, 'accepts'>,
    { network, transaction, payer, signal }: ClaimedPayment,
  ): Promise<Found> {
    const witness = witnesses.find((one) => one.network === network)
    const transfers = await witness?.transfers(transaction, { signal })
    if (witness === undefined || transfers === undefined) return 'unseen'
    const offers = accepts.filter((offer) => offer.network === network)
    const paid = transfers.find(({ asset, from, to, amount }) =>
      offers.some(
        (offer) => sameAddress(offer.asset, asset) && sameAddress(offer.payTo, to) && sameAddress(from, payer) && amount >= leastOf(offer),
      ),
    )
    return paid === undefined ? 'other' : { witness, transfer: paid }
  }

  async function keep(key: string, { witness, transfer }: Exclude<Found, string>, { transaction, signal }: ClaimedPayment): Promise<void> {
    const { from: payer, to: payTo, asset, amount, index } = transfer
    const chain = await fundersOf(witness, payer, { asset, least: amount, signal })
    // Whoever pays a seller funds him, so that a seller stands for himself; but who spends the seller's money is the seller's.
    const sellerCluster = spelled(payTo)
    const payerCluster = chain.includes(sellerCluster) ? sellerCluster : (chain.at(-1) ?? spelled(payer))
    const { network } = witness
    await catalogue.witness({
      network,
      transaction: spelled(transaction),
      index,
      key,
      payer,
      payTo,
      payerCluster,
      sellerCluster,
      at: clock(),
    })
  }

  async function witnessPayment(listing: Pick<Listing, 'key' | 'accepts'>, payment: ClaimedPayment): Promise<'unseen' | 'other' | 'kept'> {
    const found = await findTransfer(listing, payment)
    if (typeof found === 'string') return found
    await keep(listing.key, found, payment)
    return 'kept'
  }

  async function rate(entry: CatalogueEntry, rating: RatingRequest, signal: AbortSignal | undefined): Promise<RatingResponse> {
    const { listing, key } = entry
    const { network, payer, receipt, issuedAt, comment } = rating
    // One transaction has one spelling, or it could pay twice.
    const transaction = spelled(rating.transaction)
    const now = clock() / 1000
    if (listing === undefined) return refused('not_listed', 'This resource is not listed here.')
    if (issuedAt > now + 300 || issuedAt < now - 366 * 86_400) return refused('bad_time', 'It is from the future or older than a year.')
    const witness = witnesses.find((one) => one.network === network)
    if (witness === undefined) return refused('unwitnessed_network', `Nobody looks at ${network} for this bazaar.`)
    if (!(await witness.signed(ratingText(rating), { address: payer, signature: rating.signature, signal })))
      return refused('bad_signature', 'It is not signed by the payer that it names.')
    const payment = { network, transaction, payer, signal }
    const found = await findTransfer(listing, payment)
    if (found === 'unseen') return refused('payment_unseen', 'The chain shows no such transaction that is final. Send it again later.')
    if (found === 'other') return refused('payment_of_other', 'That transaction did not pay this price from this wallet to this seller.')
    const signs = verifiers.length > 0 && Object.hasOwn(listing.extensions ?? {}, offerReceiptKey)
    if (receipt == null && signs) return refused('no_receipt', 'This seller signs receipts: send the one for this payment.')
    if (receipt != null && verifiers.length > 0) {
      const { receiptKeys: keys } = listing.owner
      const expected = { url: rating.resource, payer, network, transaction, payTo: found.transfer.to, verifiers, keys: keys ?? [] }
      const standing = await checkReceipt(receipt, expected)
      if (standing.status === 'invalid') return refused('bad_receipt', `The receipt proves nothing: ${standing.why}.`)
    }
    await keep(key, found, payment)
    if (!(await catalogue.rate({ ...rating, transaction, key, comment: plainText(comment, 500) })))
      return refused('not_newer', 'A newer rating of this wallet stands, or the payment was for another resource.')
    return { accepted: true }
  }

  return { witnessPayment, rate }
}

type FunderOptions = { readonly asset: string; readonly least: bigint; readonly signal?: AbortSignal | undefined }
type Offer = Listing['accepts'][number]

/** The least that pays an offer: a ceiling and a channel settle less than they name. */
function leastOf({ scheme, amount }: Offer): bigint {
  return scheme === 'exact' || scheme === 'transfer-proof' ? BigInt(amount) : 1n
}

function refused(reason: string, message: string): RatingResponse {
  return { accepted: false, reason, message }
}

function spelled(address: string): string {
  return /^0x/i.test(address) ? address.toLowerCase() : address
}
