import type { Asset } from '../protocol/asset.ts'
import type { PaymentRequirements } from '../protocol/payment.ts'
import type { Correction, Prepared, PrepareOptions } from '../protocol/scheme.ts'
import type { SettleResponse } from '../protocol/settlement.ts'
import type { Units } from './cost.ts'
import type { StreamVoucher } from './messages.ts'
import type { StreamTerms } from './offer.ts'
import type { Slid } from './slide.ts'

/** Pays for lanes by sliding vouchers (grade B), as a part of a `ClientScheme`. */
export interface LanePayer {
  /**
   * Opens a lane in the payer's books, with `window` (atomic) signed ahead of it, and a deposit where its channel needs one. Errors: those
   * of `prepare`.
   */
  open(requirements: PaymentRequirements, window: bigint, options: PrepareOptions): Promise<LaneAccount>
}

/** One lane in the books of its payer: no number of a server's ever raises what is signed beyond them. */
export interface LaneAccount {
  readonly channelId: string
  /** Where it stands, in atomic units. */
  standing(): Slid
  /** Writes down what was used, and signs so that `window` lies ahead; nothing where that is not worth a signature. */
  slide(
    step: { readonly used: bigint; readonly window: bigint; readonly least: bigint },
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<StreamVoucher | undefined>
  /** How much more (atomic) can be signed for the lane without a deposit; on rails that bring one by themselves nobody asks. */
  room?(): Promise<bigint>
  /**
   * All that is signed for, signed anew where the chain shows that the last signature is dead; nothing where it lives. For rails whose
   * settlements end what was signed before (streaming.md §12.3): a tick that is answered 402 is then sent again so.
   */
  renew?(signal?: AbortSignal): Promise<StreamVoucher | undefined>
  /** The newest voucher as a payment: what opens a lane, and brings it back. The deposit goes along until it is `brought`. */
  payment(): Prepared
  /** A deposit with the newest voucher, where less than `least` is left to sign for; nothing where there is more, or one is on its way. */
  topUp(least: bigint, options: PrepareOptions): Promise<Prepared | undefined>
  /** A deposit came in, by its receipt: the chain is looked at where that can be done. */
  brought(prepared: Prepared, receipt: SettleResponse | undefined): Promise<void>
  /** Goes on from where the server says it stands, where it can be believed. Errors: those of `onCorrective`. */
  correct(correction: Correction, window: bigint, options: PrepareOptions): Promise<boolean>
  /** The lane is over, and `used` of it in all: the rest is credit of its channel. */
  close(used: bigint, said?: LaneClosed): Promise<void>
  /** After its end: a voucher for exactly what was delivered over the channel, for rails whose chain pays a voucher exactly (FS/1 §3.4). */
  final?(bounds: FinalBounds): Promise<StreamVoucher | undefined>
}

/** What a server said as it closed a lane: what it has charged over the channel in all, which is believed where it is less than what was counted. */
export type LaneClosed = { readonly charged?: bigint | undefined }

/**
 * What a final voucher is for at most, in atomic units: `received` is what its payer himself counted of the lane, whatever its server says;
 * `most` is what the server says was delivered over the channel in all.
 */
export type FinalBounds = { readonly received: bigint; readonly most?: bigint | undefined }

/**
 * What a stream needs of its payer: `streamWallet(client)` of `@flow402x/client` is one. It keeps to the client's budget, its payees and
 * its rules of what may be paid where.
 */
export interface StreamWallet {
  /** The web's `fetch` that pays: windows (grade A), views, and whatever else a stream's server asks. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>
  /** The web's `fetch` that pays nothing. */
  send(input: RequestInfo | URL, init?: RequestInit): Promise<Response>
  /**
   * Opens a route: unpaid where it asks nothing, by a sliding voucher of `window` where it offers a stream that can be paid so, else by
   * its price. Errors: `stream/offer-inconsistent`, `client/…`, those of the scheme.
   */
  open(input: RequestInfo | URL, init: RequestInit, plan: OpeningPlan): Promise<OpenedStream>
}

/** How a route is opened: how much is paid ahead, and with `atTick` at its tick URL, for a lane that another transport names. */
export type OpeningPlan = { readonly window: (terms: StreamTerms) => Units; readonly atTick?: boolean }

/** An open route. `terms` are those it offered, if it offered a stream, with the rate in `asset`; `lane` is there where sliding vouchers pay for it. */
export type OpenedStream = {
  readonly response: Response
  /** Where it answered, after redirects. */
  readonly url: string
  readonly terms?: StreamTerms
  /** What it is paid in. */
  readonly asset?: Asset
  readonly lane?: WalletLane
}

/** One lane within a wallet's budget. Amounts are atomic; every signature is reserved before it is made. */
export interface WalletLane {
  standing(): Slid
  /** As `LaneAccount.slide`: where that fails, nothing stays set aside for it. Errors: `client/over-budget`, which signs nothing. */
  slide(step: { readonly used: bigint; readonly window: bigint; readonly least: bigint }): Promise<StreamVoucher | undefined>
  /** As `LaneAccount.room`; nothing where its rail does not say. */
  room(): Promise<bigint>
  /** As `LaneAccount.renew`: what is sent in the place of a tick that was answered 402. It sets nothing more aside. */
  renew(): Promise<StreamVoucher | undefined>
  /** The newest voucher as the value of `PAYMENT-SIGNATURE`. */
  header(): string
  /** The newest voucher by itself, where its scheme writes vouchers as ticks have them. */
  voucher(): StreamVoucher | undefined
  /** Brings another deposit to `url` where less than `least` is left to sign for; `false` where none was needed or it was not taken. */
  topUp(url: string, least: bigint): Promise<boolean>
  /** Ends it: `used` is spent, and what was reserved beyond that is free again. */
  close(used: bigint, said?: LaneClosed): Promise<void>
  /** As `LaneAccount.final`; nothing where its rail claims what was used. */
  final(bounds: FinalBounds): Promise<StreamVoucher | undefined>
}
