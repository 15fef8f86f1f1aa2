import type { Vouchers } from '../channel/vouchers.ts'
import type { PaymentKey } from '../store/claims.ts'
import type { Rail } from '../stream/rail.ts'
import type { LanePayer } from '../stream/wallet.ts'
import type { Asset } from './asset.ts'
import type { Extension } from './extension.ts'
import type { Submission } from './facilitator.ts'
import type { Price } from './money.ts'
import type { Network } from './network.ts'
import type { PaymentPayload, PaymentRequirements } from './payment.ts'
import type { Outcome, SettleResponse, SupportedKind, Verdict } from './settlement.ts'

/**
 * What a scheme made to pay with: the payload of the message, the identity of what was signed, and what it says in extensions of the
 * 402, by their keys.
 */
export type Prepared = {
  readonly payload: Readonly<Record<string, unknown>>
  readonly key: PaymentKey
  readonly extensions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What `send` hands to the chain, in the scheme's own writing: kept in the payer's books and shown to nobody. */
  readonly transfer?: string
  /** The headers that carry it, where it is shown in another dialect than `PAYMENT-SIGNATURE`. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * When and how long: `now` in Unix seconds, `maxTimeoutSeconds` already clamped to what the client allows. `binding` is the request
 * that is paid (`requestBinding`): a scheme that chooses a nonce commits it to that, so that nobody else can grant it (M2). `extensions` are
 * those that the 402 offers.
 */
export type PrepareOptions = {
  readonly now: number
  readonly maxTimeoutSeconds: number
  readonly binding?: string | undefined
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * What a payment came to for who signed it, by the word of its server: paid, with the receipt where it sent one; unpaid; or unknown, which
 * is no word at all.
 */
export type PaymentEnd = { readonly status: 'paid' | 'unpaid' | 'unknown'; readonly receipt?: SettleResponse | undefined }

/**
 * What a server says to a payment that it did not take: the 402's `reason`, and the entry of the same terms, in whose `extra` it may say
 * more. `sends`: how often the payment was sent; of one that was sent twice the first may have been taken.
 */
export type Correction = { readonly reason: string; readonly requirements: PaymentRequirements; readonly sends: number }

/** Where a payment is looked for first. */
export type LookOptions = { readonly transaction?: string | undefined; readonly signal?: AbortSignal | undefined }

/** A way to pay, for the payer: the others sign in `prepare`; a scheme that transfers by itself broadcasts in `send`. */
export interface ClientScheme {
  readonly scheme: string
  /** CAIP-2 ids it can pay on; `eip155:*` stands for a whole family. */
  readonly networks: readonly string[]
  /** Whether it can pay this entry: transfer method, what `extra` must hold. */
  supports(requirements: PaymentRequirements): boolean
  prepare(requirements: PaymentRequirements, options: PrepareOptions): Promise<Prepared>
  /** What a 402 asks whose body is JSON and no x402, where the scheme knows that dialect. */
  readChallenge?(body: unknown): PaymentRequirements | undefined
  /**
   * Makes the transfer that was prepared and written down, and waits until it is as deep as the payee asks. It may be called again, also
   * by another process: the same bytes are sent, never others. An error whose `moneyMoved` is `no` and whose `retry` is `resign` says
   * that the transfer can provably be made no more.
   */
  send?(prepared: Prepared, requirements: PaymentRequirements, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** Told once, when a payment that was sent came to an end for its caller. */
  onReceipt?(prepared: Prepared, end: PaymentEnd): Promise<void>
  /**
   * What to send in the place of a payment that was not taken, for the same terms and no more money, or nothing; throws where the server
   * says what cannot be believed. Asked at most once for each reason of one call.
   */
  onCorrective?(prepared: Prepared, correction: Correction, options: PrepareOptions): Promise<Prepared | undefined>
  /** Asks for the unused part of an earlier deposit back, from who offers these requirements; nothing where none is kept there. */
  refund?(requirements: PaymentRequirements, options: PrepareOptions): Promise<Prepared | undefined>
  /** Where it can pay for streams by sliding vouchers: what `streamWallet` needs of it. */
  readonly lanes?: LanePayer
  /**
   * What the chain itself says of a payment, where the scheme was given a way to ask: settled, not settled with `retry: 'resign'` once
   * it provably cannot be any more, else pending.
   */
  look?(submission: Submission, options?: LookOptions): Promise<Outcome>
  /** Revokes a payment on chain and then looks, until the chain has said which of the two it was or the adapter stops waiting. */
  cancel?(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<Outcome>
}

/**
 * Says what a payer holds of the asset that an offer asks for, in atomic units, as far as it could pay that offer; nothing where it cannot
 * tell.
 */
export type BalanceReader = (
  requirements: PaymentRequirements,
  options?: { readonly signal?: AbortSignal | undefined },
) => Promise<bigint | undefined>

/** How a payment flows (wire.md §5.1): settle after the handler, or before it. */
export type PaymentFlow = 'authorization' | 'upfront'

/** What requirements are made from. */
export type RequirementsInput = {
  readonly price: Price
  /** What `/supported` said of this scheme and network: fee payer, authorizer, signer. Nothing while a route is only being checked. */
  readonly kind: SupportedKind | undefined
  readonly payTo?: string | undefined
  readonly maxTimeoutSeconds: number
  readonly flow: PaymentFlow
}

/**
 * What a chain shows of a payment: what came of it; of a settled one the log that paid, where a transaction can pay more than once;
 * and whether the transaction it was shown is mined and did not pay it (A25).
 */
export type Sighting = Outcome & { readonly logIndex?: number; readonly denied?: true }

/**
 * How a payment is taken that its payer made by himself and then proves. What he shows is public from then on, but for the reference
 * that only he was given (M22).
 */
export interface TransferProof {
  /** The offer as one request (`requestBinding`) is asked it: with a reference that pays for nothing else. `now` in Unix seconds. */
  offer(requirements: PaymentRequirements, options: { readonly binding: string; readonly now: number }): Promise<PaymentRequirements>
  /**
   * The requirements that a payment's reference was made from for this request, by `moved`, what arrived on chain, or by what it says
   * itself (M24); nothing for a reference of others.
   */
  offered(
    submission: Submission,
    options: { readonly binding: string; readonly moved: string | undefined },
  ): Promise<PaymentRequirements | undefined>
  /** What only its payer and this seller know (M4). */
  secret(payment: PaymentPayload): string | undefined
  /** The payment with the transaction that the chain shows for its reference; nothing where it shows none. */
  find?(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<PaymentPayload | undefined>
  /** The offer as the plain challenge has it, where the seller offers that. */
  plain?(requirements: PaymentRequirements): Readonly<Record<string, unknown>>
}

/** A way to be paid, for the seller, on one network. It needs addresses and decimals and no chain library. */
export interface ServerScheme {
  readonly scheme: string
  readonly network: Network
  readonly flows: readonly PaymentFlow[]
  /** What it is paid in. */
  readonly asset?: Asset
  /** Whether the seller brings its money in himself, so that no facilitator has to know it. */
  readonly settlesItself?: true
  /** Extensions that help its payers, each offered where the facilitator names it in `/supported`. */
  readonly extensions?: readonly Extension[]
  /** Keys of `extra` that may differ between offer and payment. */
  readonly ignoredExtra?: readonly string[]
  /** Throws `config/…` for a price or payee it cannot ask. */
  requirements(input: RequirementsInput): PaymentRequirements
  /** The price of requirements as people read it: `$0.01`. */
  describe(requirements: PaymentRequirements): string
  /** The identity of a payment, or nothing for a payload that is not this scheme's. */
  key(payment: PaymentPayload): PaymentKey | undefined
  /** What can be refused without a chain: the *signed* payee, amount and window against the requirements (A26, M12). */
  check(submission: Submission, options: { readonly now: number }): Verdict
  /** What must hold before this is offered, such as the payee's own token account (D4); throws `config/…` or the adapter's errors. */
  start?(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /**
   * The requirements that settle what a handler says was used of a ceiling (wire.md §5.4); absent where the price is what is settled.
   * Throws for more than the ceiling, and for what it cannot read.
   */
  settlement?(submission: Submission, used: string): PaymentRequirements
  /** A value that changes whenever `requirements` would answer otherwise; absent where it never does. */
  revision?(): unknown
  /**
   * What the chain itself says of a payment, where the scheme was given a way to ask: settled by its own transfer, whoever sent it
   * (M1), not settled once it provably cannot be any more, else pending (M5, A25). `transaction` is where to look first.
   */
  look?(submission: Submission, options?: LookOptions): Promise<Sighting>
  /** What the payer of a payment holds of its asset, in atomic units, where the scheme was given a way to ask (M8). */
  funds?(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<bigint | undefined>
  /** Whether the payer committed this payment to the one request of `binding` (M2). */
  commits?(payment: PaymentPayload, binding: string): boolean
  /** For a scheme whose payer moves the money himself. */
  readonly proof?: TransferProof
  /** As a facilitator's: where it is there and `look` as well, the chain itself is asked and no facilitator. `extra.amount` is what arrived. */
  verify?(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<Verdict>
  /** What a seller should know before this is offered. */
  readonly warnings?: readonly string[]
  /** Where payments draw on channels: the scheme's own books are their claim, and none of its payments has a `key`. */
  readonly vouchers?: Vouchers
  /** Where payments can carry streams: what `@flow402x/stream` needs of the chain. */
  readonly rail?: Rail
}

/**
 * One call of a settlement; its inside belongs to the adapter that made it. `alone` keeps it out of batches (M14), and `apart` out of
 * those with a call that says the same, from which its events could not be told (M16); `signer` is the one that must send it, where
 * what the payer signed names it, as Solana's fee payer. `value` is what it carries of the chain's own coin, in atomic units: such a
 * call is a transaction by itself.
 */
export type Call = {
  readonly target: string
  readonly data: string
  readonly gas: bigint
  readonly alone: boolean
  readonly apart?: string
  readonly signer?: string
  readonly value?: bigint
}

/** One event of a mined transaction. */
export type Log = { readonly address: string; readonly topics: readonly string[]; readonly data: string; readonly index: number }

/** What the chain says of a transaction. `expired`: it was never mined and, by the chain's final word, never can be (M21). */
export type TransactionStatus =
  | { readonly state: 'unknown' }
  | { readonly state: 'expired' }
  | {
      readonly state: 'mined'
      readonly success: boolean
      readonly block: bigint
      readonly logs: readonly Log[]
      /** What it called, where its bytes were given and say so. */
      readonly call?: Pick<Call, 'target' | 'data'>
      /** Whether it is one of those that `replace` makes to do nothing. */
      readonly empty?: boolean
    }

/** A signed transaction: kept on disk before it is sent, and sent again byte for byte. */
export type SignedTransaction = { readonly transaction: string; readonly bytes: string; readonly signer: string; readonly nonce: bigint }

/** Writes to one chain; the engine takes nonces in order and journals between `sign` and `send`. */
export interface ChainWriter {
  readonly network: Network
  /** The addresses that can send: one lane each. */
  readonly signers: readonly string[]
  /**
   * Whether a signer's transactions take effect in the order of their nonces, as on EVM chains. Where they do not, as on Solana, a
   * transaction carries one payment, stands by itself, is sent again until it is mined or `expired` and never replaced; its nonce is
   * then a number of the journal's own, and `nonce` and `replace` are not asked.
   */
  readonly ordered: boolean
  /** The next nonce of a signer as the chain sees it: after all that is `known` to it, which is meant unless told, `mined` or `final`. */
  nonce(
    signer: string,
    options?: { readonly signal?: AbortSignal | undefined; readonly after?: 'known' | 'mined' | 'final' | undefined },
  ): Promise<bigint>
  sign(calls: readonly Call[], options: { readonly signer: string; readonly nonce: bigint }): Promise<SignedTransaction>
  /**
   * Signs the same transaction again, on the same nonce, at a fee for which the chain takes it in the place of this one; with `empty`
   * one that does nothing but use the nonce.
   */
  replace(signed: SignedTransaction, options?: { readonly empty?: boolean | undefined }): Promise<SignedTransaction>
  /** Hands the bytes to the chain; a transaction it already has is no error. */
  send(signed: SignedTransaction): Promise<void>
  /** What the chain says of a transaction; `bytes` tell when it expires, where it does. */
  status(signed: { readonly transaction: string; readonly bytes?: string }): Promise<TransactionStatus>
  /** The highest block that nothing undoes: by the chain's own finality, or as deep as the adapter was told to wait (M17). */
  final(): Promise<bigint>
  /**
   * What a signer has for fees and the least that it should have, in atomic units of the chain's own coin: below it nothing more is
   * taken on (H33).
   */
  balance?(
    signer: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly held: bigint; readonly least: bigint }>
}

/** A way to pay, for who verifies and settles. */
export interface FacilitatorScheme {
  readonly scheme: string
  readonly network: Network
  readonly writer: ChainWriter
  /** Its payers move the money themselves: nothing is planned or sent for it, and what `look` shows is how it settles. */
  readonly byPayer?: true
  /** What `/supported` says, the same at every call. */
  supported(): SupportedKind
  /** The keys of the extensions that it serves, for `/supported`. */
  readonly extensions?: readonly string[]
  /** Checks what must hold before anything is served, such as a token's domain on chain; throws `config/…` or the adapter's errors. */
  start(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** Identity of a payment, by which repeated settlements meet. */
  key(payment: PaymentPayload): PaymentKey | undefined
  /** What a payment takes from its payer's balance, where that is not its price. */
  draw?(payment: PaymentPayload): bigint | undefined
  /** Read-only (D7). With `settle` it is asked of what is to be settled: some payments can only be looked at. */
  verify(
    submission: Submission,
    options?: { readonly signal?: AbortSignal | undefined; readonly settle?: boolean | undefined },
  ): Promise<Verdict>
  /**
   * Hands the chain what the payer himself signed to go before his payment, such as an approval, and waits until that has taken
   * effect; it sends nothing of its own, and asking again does no harm. Then the payment is verified anew: gives that verdict, or nothing
   * where there was nothing to hand on.
   */
  relay?(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<Verdict | undefined>
  /** The calls that settle a verified payment; none where nothing is to be moved. */
  plan(submission: Submission): readonly Call[]
  /** What a mined transaction did for this payment, told from its events and never from its status alone (M1). */
  outcome(
    submission: Submission,
    result: { readonly transaction: string; readonly status: TransactionStatus & { readonly state: 'mined' } },
  ): Outcome
  /** A settled payment with what else its asker is told of it, as the chain says. It throws where that cannot be told yet. */
  complete?(submission: Submission, settled: Outcome & { readonly status: 'settled' }): Promise<Outcome>
  /**
   * What the chain itself says of a payment: settled by its own transfer in a final block, whoever sent it (M1); not settled, with
   * `retry: 'resign'`, once it provably cannot be any more (M3); else pending, naming a transaction that settles it once it is final.
   */
  look?(submission: Submission, options?: LookOptions): Promise<Sighting>
}
