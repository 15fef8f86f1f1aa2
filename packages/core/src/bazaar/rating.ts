import * as z from 'zod/mini'
import { networkSchema } from '../protocol/network.ts'
import { signedReceipt } from '../receipt/statement.ts'

/** What a payer says of what he bought, before it is signed. */
export const ratingStatement = z.looseObject({
  /** The URL that was paid for, as it was called. */
  resource: z.string().check(z.minLength(1), z.maxLength(2048)),
  network: networkSchema,
  /** The wallet that paid, and the transaction in which it did. */
  payer: z.string().check(z.minLength(1), z.maxLength(128)),
  transaction: z.string().check(z.minLength(1), z.maxLength(128)),
  stars: z.number().check(z.int(), z.minimum(1), z.maximum(5)),
  comment: z.nullish(z.string().check(z.maxLength(1000))),
  /** Unix seconds: of two ratings by one wallet the later stands. */
  issuedAt: z.number().check(z.int(), z.nonnegative()),
})

/** What a payer says of what he bought, before it is signed. */
export type RatingStatement = z.infer<typeof ratingStatement>

/**
 * The body of `POST /discovery/ratings`: a statement with its payer's signature of `ratingText` (EIP-191 on EVM, the bytes of the text on
 * Solana), and the receipt where the seller issues them, which says that it was this resource that was bought.
 */
export const ratingRequest = z.extend(ratingStatement, {
  signature: z.string().check(z.minLength(1), z.maxLength(8192)),
  receipt: z.nullish(signedReceipt),
})

/** The body of `POST /discovery/ratings`. */
export type RatingRequest = z.infer<typeof ratingRequest>

/** The answer of `POST /discovery/ratings`: taken, or why not. `weight` from 0 to 1 is what this wallet's word counts for now. */
export const ratingResponse = z.looseObject({
  accepted: z.boolean(),
  reason: z.nullish(z.string()),
  message: z.nullish(z.string()),
  weight: z.nullish(z.number()),
})

/** The answer of `POST /discovery/ratings`. */
export type RatingResponse = z.infer<typeof ratingResponse>

/** The one text of a statement, that wallets show and sign. */
export function ratingText({ resource, network, payer, transaction, stars, comment, issuedAt }: RatingStatement): string {
  const lines = [
    'I paid for this resource and rate it.',
    `Resource: ${resource}`,
    `Network: ${network}`,
    `Payer: ${payer}`,
    `Transaction: ${transaction}`,
    `Stars: ${stars}`,
    `Comment: ${JSON.stringify(comment ?? '')}`,
    `Issued at: ${issuedAt}`,
  ]
  return lines.join('\n')
}

/** One transfer that a final transaction made; `index` tells those of one transaction apart. Amounts in atomic units. */
export type WitnessedTransfer = {
  readonly asset: string
  readonly from: string
  readonly to: string
  readonly amount: bigint
  readonly index: number
}

/** Asks a chain what only it knows of payers (M34). The adapters make them; a bazaar has one for each network on which it takes ratings. */
export interface PaymentWitness {
  readonly network: string
  /** Whether a wallet signed a text, contract wallets included. */
  signed(
    text: string,
    by: { readonly address: string; readonly signature: string; readonly signal?: AbortSignal | undefined },
  ): Promise<boolean>
  /** The token transfers of a transaction that succeeded and that nothing undoes; nothing for any other, whatever it is. */
  transfers(transaction: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<readonly WitnessedTransfer[] | undefined>
  /**
   * Who first sent a wallet at least so much of a token: wallets of one funder count as one. Nothing where the chain does not say. Less than
   * `least` makes nobody a funder, or a stranger could make himself everybody's.
   */
  funder(
    address: string,
    options: { readonly asset: string; readonly least: bigint; readonly signal?: AbortSignal | undefined },
  ): Promise<string | undefined>
}
