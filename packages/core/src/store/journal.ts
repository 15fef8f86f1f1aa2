import type { Submission } from '../protocol/facilitator.ts'
import type { SignedTransaction } from '../protocol/scheme.ts'
import type { Outcome } from '../protocol/settlement.ts'
import type { OutboxStore, Telling } from './outbox.ts'

/** One nonce of one signer: the unit of the settlement journal (M17). */
export type SlotKey = { readonly network: string; readonly signer: string; readonly nonce: bigint }

/**
 * A slot with every transaction that was ever signed for it, in the order they were written down: each before it was sent.
 * `payments` are the settlements its transactions carry, in the order they were prepared. It is `open` until one of them is
 * mined, `mined` until that block is final, then `final`; a transaction that is not ours on this nonce leaves it `foreign`, which
 * halts the lane.
 */
export type Slot = SlotKey & {
  readonly attempts: readonly SignedTransaction[]
  readonly payments: readonly string[]
  readonly state: 'open' | 'mined' | 'final' | 'foreign'
  /** When its newest attempt was written down or its state changed, whichever came later (Unix ms). */
  readonly since: number
}

/** The right to send from one signer, held by one process at a time; `epoch` grows with every holder (M18). */
export type SignerLease = {
  readonly network: string
  readonly signer: string
  readonly owner: string
  readonly epoch: number
  readonly until: number
}

/**
 * One payment that was handed in for settling. It ends with an `outcome` that is not pending; until then it is `queued` with
 * the process that took it, or rides in a slot.
 */
export type Settlement = {
  /** `PaymentKey.id`. */
  readonly id: string
  readonly deadAfter: number
  /** One claim settles one payment. */
  readonly claimId?: string
  readonly submission: Submission
  /** What it takes from whom when it settles: it counts against his balance until it ends (M8). */
  readonly draw?: Draw
  /**
   * Where no claim tells its asker from anybody else: until when only one asker may hear of it (Unix ms). 0 says that he was
   * answered pending, so that another may ask once (M2).
   */
  readonly heardUntil?: number
  /** The process that works on it and until when it is believed to (Unix ms); of no meaning once it rides in a slot. */
  readonly owner: string
  readonly leaseUntil: number
  readonly slot?: SlotKey
  readonly outcome?: Outcome
  readonly epoch: number
}

/** Money that is promised and not paid yet: `account` names its network, asset and payer, `amount` is in atomic units. */
export type Draw = { readonly account: string; readonly amount: bigint }

/** What a settlement is begun with. */
export type NewSettlement = Omit<Settlement, 'slot' | 'outcome' | 'epoch'>

/** Whether a settlement was begun, and what stands; nothing stands where its claim is buried, or settles another payment. */
export type Begun = { readonly begun: true; readonly settlement: Settlement } | { readonly begun: false; readonly settlement?: Settlement }

/** The books of a facilitator: nothing that may have moved money is known to memory alone. Every operation is one commit. */
export interface JournalStore {
  /** The outbox of the same store, where it has one: what `tell` is written to. */
  readonly outbox?: OutboxStore
  /**
   * Takes a payment in, or says what stands for it. A `queued` one whose lease has ended at `now` is taken over by the new owner,
   * and keeps the claim and the submission it was first begun with (M2). A claim that is buried, or that settles another payment,
   * begins nothing.
   */
  begin(settlement: NewSettlement, now: number): Promise<Begun>
  find(id: string): Promise<Settlement | undefined>
  /**
   * The settlement of a claim. Where there is none the claim is buried in the same step: nothing is begun for it any more, for as
   * long as a settlement that ended and was dead after `deadAfter` (Unix seconds) would be kept (M5, M12).
   */
  bury(claimId: string, deadAfter: number): Promise<Settlement | undefined>
  /** What the settlements without an end take from an account, by settlement. */
  drawn(account: string): Promise<ReadonlyMap<string, bigint>>
  /** Lets an asker hear of a settlement until then, unless another was let since this was read. */
  hear(settlement: Settlement, until: number): Promise<boolean>
  /**
   * Ends a settlement that rides in no slot, if its epoch is still this one; with no outcome it is forgotten, so that it may be
   * begun again. A pending outcome is no end: `false`, and nothing is written.
   */
  conclude(settlement: Settlement, outcome: Outcome | undefined): Promise<boolean>
  /** Takes or renews the lease of a signer, unless another process holds it at `now`. Renewing keeps the epoch, taking raises it. */
  lease(request: {
    readonly network: string
    readonly signer: string
    readonly owner: string
    readonly now: number
    readonly until: number
  }): Promise<SignerLease | undefined>
  /** Gives the lease up at once, if it is still this one's. */
  release(lease: SignerLease): Promise<void>
  /**
   * Writes a signed transaction down before it is sent: a new slot with its payments, or one more attempt of an `open` slot, which
   * may carry no other payments than the slot's (an empty list will do). Nothing is written and `false` returned when the lease
   * has passed on or the signer is not its own, when the nonce is another slot's, or when one of the payments is no longer queued.
   * Repeating a transaction that is written down changes nothing.
   */
  prepare(
    lease: SignerLease,
    attempt: SignedTransaction,
    options: { readonly payments: readonly string[]; readonly now: number },
  ): Promise<boolean>
  /** The slots of a signer that are not final, by nonce. */
  slots(signer: { readonly network: string; readonly signer: string }): Promise<readonly Slot[]>
  /**
   * Writes down what a slot came to, with the outcome of each payment it decided; a pending one takes back what a reorg undid.
   * Payments stay in a slot until it is `final`: then those without an outcome leave it and are
   * `queued` again, with the holder of the lease and for as long as it has it (M17). Outcomes of other payments are ignored, and
   * `final` stays. `false` when the lease has passed on or there is no such slot. `tell` goes into the outbox in the same commit, or
   * not at all.
   */
  resolve(
    lease: SignerLease,
    slot: SlotKey,
    result: { readonly state: Slot['state']; readonly outcomes: ReadonlyMap<string, Outcome>; readonly now: number } & Telling,
  ): Promise<boolean>
  /** Settlements without an end that ride in no slot and whose lease has ended at `now`: what a restart left behind. */
  abandoned(now: number): AsyncIterable<Settlement>
  /** Forgets settlements that ended for good and have long been dead at `now`, and says how many; others are kept (M12). */
  purge(now: number): Promise<number>
}
