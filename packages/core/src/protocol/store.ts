import type { Channel, ChannelKey, ChannelSide } from '../channel/channel.ts'
import type { LaneStore } from '../stream/lane-store.ts'
import type { Submission } from './facilitator.ts'
import type { PaymentPayload } from './payment.ts'
import type { SignedTransaction } from './scheme.ts'
import type { Outcome, SettleResponse } from './settlement.ts'

/**
 * What makes a payment itself and not its bytes (DESIGN §4, M11): built from parsed values, so that another spelling of the
 * same authorization has the same `id`. `deadAfter` (Unix seconds) is when the signature can no longer be used. `told` says that nothing
 * is ever delivered for it, so that whoever asks again hears what came of it.
 */
export type PaymentKey = { readonly id: string; readonly payer: string; readonly deadAfter: number; readonly told?: 'anyone' }

/** A response as it is kept for its payer: replayed byte for byte. */
export type StoredResponse = {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array
}

/**
 * Where a claim stands. `claimed`: the handler runs. `open`: it failed, nothing was settled, the same request may try
 * again. `settling`: the facilitator was asked and money may have moved. `settled`: it moved, the goods were not delivered.
 * `delivered` and `failed` are ends.
 */
export type ClaimState = 'claimed' | 'open' | 'settling' | 'settled' | 'delivered' | 'failed'

/** The server's exclusive hold on one payment, with everything needed to finish it after a crash. */
export type Claim = {
  /** `PaymentKey.id`. */
  readonly id: string
  readonly payer: string
  readonly deadAfter: number
  /** Digest of what is bought: method, URL, body and credentials (M12). */
  readonly binding: string
  /** Random, made by the server: the idempotency key towards its facilitator (M2). */
  readonly claimId: string
  /** What the facilitator is asked, also after a restart. */
  readonly submission: Submission
  /** Digest of the payment id that only payer and server know (M4). */
  readonly secret?: string
  readonly state: ClaimState
  /** Raised by every change; a holder that slept past its lease changes nothing (M6). */
  readonly epoch: number
  readonly attempts: number
  /** Unix milliseconds until which the holder of `claimed` or `settling` is taken to be alive. */
  readonly leaseUntil: number
  /** The server whose request serves it until then; empty where none does, and somebody finds out what became of it. */
  readonly holder?: string
  /** What settling came to. */
  readonly outcome?: Outcome
  readonly response?: StoredResponse
  /** Whether the payer committed the payment to the very request it was claimed for (M2). */
  readonly committed?: boolean
  /** When its money was seen to have moved (Unix ms). */
  readonly settledAt?: number
  /** On whose word alone its outcome stands, until the chain itself was asked; empty from then on (M13). */
  readonly vouchedBy?: string
  /** The facilitator that was asked to settle it: that another has never heard of it says nothing (M5). */
  readonly asked?: string
}

/** What a payer held of the asset it pays with, and since when at the latest that may have become less (Unix ms). */
export type Funds = { readonly held: bigint; readonly since: number }

/** What a claim is asked for; `now` and `leaseUntil` in Unix milliseconds. */
export type ClaimRequest = {
  readonly key: PaymentKey
  readonly binding: string
  readonly claimId: string
  readonly submission: Submission
  readonly secret?: string
  readonly committed?: boolean
  readonly now: number
  readonly leaseUntil: number
  readonly holder?: string
  /** Where it is known: live claims of one payer together never pass it (M8). */
  readonly funds?: Funds
}

/** The answer to a request for a claim: what stands now, or where the payer's money is spoken for, what would have stood. */
export type ClaimAnswer = { readonly granted: boolean; readonly claim: Claim; readonly overdrawn?: true }

/** The fields a holder may change. */
export type ClaimChange = Partial<
  Pick<Claim, 'state' | 'leaseUntil' | 'holder' | 'submission' | 'outcome' | 'response' | 'attempts' | 'settledAt' | 'vouchedBy' | 'asked'>
>

/** Who looks for what was paid and not delivered, and when (Unix ms). */
export type UndeliveredOptions = { readonly maxAttempts: number; readonly now: number; readonly holder: string }

/**
 * Claims on payments. Every operation is one atomic statement, and there is no default: without a claim store no handler runs.
 */
export interface ClaimStore {
  /**
   * Inserts the claim, or takes an `open` one of the same binding with attempts left; else grants nothing and says what stands.
   * `maxAttempts` counts runs of the handler. A claim with a stored response keeps its submission: that is what was worked for. A payer's `secret` names one payment, and a claim keeps the first it had: where the
   * secret already names another payment, that one's claim is what stands, and its `id` is not the one asked for.
   *
   * Where `funds` are told, nothing is granted that they do not pay beside the payer's other claims on the same network and asset
   * that are `claimed` or `settling`, or that were settled later than `since` (M8).
   */
  claim(request: ClaimRequest, options: { readonly maxAttempts: number }): Promise<ClaimAnswer>
  /** The claim on a payment. */
  find(id: string): Promise<Claim | undefined>
  /**
   * The payer's oldest `settled` or `settling` claim for the same binding: paid, or maybe paid, and not delivered (M4). Where there
   * is none, his oldest `open` one with a stored response and a payment that lives at `now`: worked for, and not paid. Claims whose
   * handler failed `maxAttempts` times are left to a refund.
   *
   * A claim is left out while `holder` holds it itself at `now` (Unix ms). One that somebody else holds is given all the same: only
   * its holder knows whether it is being served, or was left by a process that died.
   */
  undelivered(payer: string, binding: string, options: UndeliveredOptions): Promise<Claim | undefined>
  /** The outbox of the same store, where it has one: what `tell` is written to. */
  readonly outbox?: OutboxStore
  /**
   * Changes a claim if its state and epoch are still those of `claim`, raising the epoch; else nothing and `undefined` (M6). `tell`
   * goes into the outbox in the same commit, or not at all; a store without an outbox is given none.
   */
  update(claim: Claim, change: ClaimChange, options?: Telling): Promise<Claim | undefined>
  /** The claims that have not ended and that nobody holds at `now` (Unix ms), in any order: what a reconciler finishes (hazards §2). */
  unfinished(options: { readonly now: number }): AsyncIterable<Claim>
  /** The claims whose money moved at `since` (Unix ms) or later, as far as they are kept, in any order: a seller's books (H42). */
  settlements(options: { readonly since: number }): AsyncIterable<Claim>
  /** The claims whose outcome stands on somebody's word alone, ended or not, in any order (M13). */
  vouched(): AsyncIterable<Claim>
  /**
   * Forgets claims that ended and whose payment has long been dead at `now` (Unix ms), and says how many; others are kept, and so
   * are those that stand on somebody's word (M12).
   */
  purge(now: number): Promise<number>
}

/** One log on chain. Spelled as the chain's adapter writes it, so that one log has one spelling. */
export type LogKey = { readonly network: string; readonly transaction: string; readonly logIndex: number }

/** What on chain has paid for something: shared by all schemes, kept for ever (M1). */
export interface LogStore {
  /** Lets a log pay a key, and says whether it is this key that it pays: the first one asked for, whoever asks again. */
  consume(log: LogKey, key: string): Promise<boolean>
}

/** A limit that a reservation must fit: the sum of everything reserved or committed under `scope` stays at or below `limit`. */
export type BudgetLimit = { readonly scope: string; readonly limit: bigint }

/** One amount set aside before signing; amounts and limits share one unit, chosen by the client. */
export type Reservation = {
  readonly id: string
  readonly amount: bigint
  readonly limits: readonly BudgetLimit[]
}

/** What of a budget is used, per scope. */
export type BudgetUse = { readonly reserved: bigint; readonly committed: bigint }

/** A budget: reserved before signing, committed or released after, kept while the outcome is unknown. Each operation is atomic. */
export interface BudgetStore {
  /** Sets the amount aside under every scope, or under none and names the first scope that would pass its limit. */
  reserve(
    reservation: Reservation,
  ): Promise<{ readonly granted: true } | { readonly granted: false; readonly scope: string; readonly left: bigint }>
  /** The money moved: the reservation becomes spending. Repeating it changes nothing. */
  commit(id: string): Promise<void>
  /** The money provably cannot move: the amount is free again. Repeating it changes nothing. */
  release(id: string): Promise<void>
  /** What a scope has in use. */
  use(scope: string): Promise<BudgetUse>
}

/** A payment as it was signed: all that sends it again. Who reads it can hand it in to its payee, and nothing else. */
export type SignedPayment = {
  readonly key: PaymentKey
  readonly payment: PaymentPayload
  /** What it was asked in, and where. */
  readonly version: 1 | 2
  readonly url: string
  readonly method: string
  readonly maxTimeoutSeconds: number
  /** `Prepared.transfer` and `Prepared.headers`. */
  readonly transfer?: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * One call that pays, from before its signature until its money has moved or provably cannot. `signing`: nothing was sent.
 * `open`: it may be spent. `paid`: it was, or counts as that (M32). `released`: it was never sent, or can never be spent.
 */
export type LedgerEntry = {
  /** The logical call: its caller's own id, or a random one. */
  readonly id: string
  /** The request that is paid for (`requestBinding`): one call buys one thing. */
  readonly binding: string
  /** What its amounts are reserved under, new each time it is begun. */
  readonly reservation: string
  /** Unix seconds until which its signature can be spent, or could be once it is made. */
  readonly deadAfter: number
  readonly state: 'signing' | 'open' | 'paid' | 'released'
  readonly epoch: number
  readonly signed?: SignedPayment
  /** What the seller says it came to, as it came: its word, and where it signs receipts its signature. */
  readonly receipt?: SettleResponse
}

/** What a client signed, so that a call never pays twice, also after a restart (H2). Every operation is atomic. */
export interface LedgerStore {
  /** Writes a call down as `signing` where there is none, or where it was `released` for the same binding; else says what stands. */
  begin(
    call: Pick<LedgerEntry, 'id' | 'binding' | 'reservation' | 'deadAfter'>,
    now: number,
  ): Promise<{ readonly begun: boolean; readonly entry: LedgerEntry }>
  find(id: string): Promise<LedgerEntry | undefined>
  /** Changes an entry if its epoch is still this one, raising it; else nothing and `undefined`. */
  update(
    entry: LedgerEntry,
    change: Partial<Pick<LedgerEntry, 'state' | 'deadAfter' | 'signed' | 'receipt'>>,
  ): Promise<LedgerEntry | undefined>
  /** Entries that are `signing` or `open` and dead at `now` (Unix ms): what nobody will send any more. */
  overdue(now: number): AsyncIterable<LedgerEntry>
  /** What was paid and has a receipt, as far as it is kept, in any order. */
  receipts(): AsyncIterable<LedgerEntry>
  /** Forgets what is over and has long been dead at `now` (Unix ms), and says how many. */
  purge(now: number): Promise<number>
}

/** Who is paid by one scheme on one network, for whom. */
export type PayeeName = { readonly origin: string; readonly network: string; readonly scheme: string }

/** Who is paid, and in what, as an offer spells them. */
export type Payee = { readonly payTo: string; readonly asset: string }

/** Whom each origin had paid the first time (M32, H36). */
export interface PayeeStore {
  find(name: PayeeName): Promise<Payee | undefined>
  /** Keeps a payee where there is none, or where it is still `was`, and gives the one that stands. Atomic. */
  pin(name: PayeeName, payee: Payee, was?: Payee): Promise<Payee>
}

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

/**
 * Something that somebody must be told, at least once. `id` (visible ASCII) is what the receiver knows it by when it comes again;
 * `body` is JSON and sent as it is. `createdAt` in Unix milliseconds.
 */
export type NewMessage = { readonly id: string; readonly topic: string; readonly body: string; readonly createdAt: number }

/** A message on its way: `attempts` counts who took it, `nextAttemptAt` (Unix ms) is when it is due again unless it is done by then. */
export type Message = NewMessage & { readonly attempts: number; readonly nextAttemptAt: number }

/** What somebody must be told of a change. */
export type Telling = { readonly tell?: readonly NewMessage[] }

/**
 * What is still to be told, so that nothing that happened is known to one process alone (H43). Every operation is one commit; any
 * number of processes deliver from it, and each message is with one of them at a time.
 */
export interface OutboxStore {
  /** Takes messages in, due at once; one whose id is known changes nothing, also after it was told. */
  put(messages: readonly NewMessage[]): Promise<void>
  /** Takes at most `most` messages that are due at `now`, the longest due first: they are due again at `until`, for whoever comes then. */
  take(request: { readonly now: number; readonly until: number; readonly most: number }): Promise<readonly Message[]>
  /** It was told, whoever told it. Repeating it changes nothing. */
  done(message: Message, now: number): Promise<void>
  /** It could not be told, and is due again at `at`; `false` where it was told meanwhile, or taken by another (its `attempts` have grown). */
  later(message: Message, at: number): Promise<boolean>
  /** How many are still to be told, and since when the oldest waits (Unix ms). */
  waiting(): Promise<{ readonly count: number; readonly since?: number }>
  /** Forgets what was told long ago at `now`, and says how many; what was not told is kept. */
  purge(now: number): Promise<number>
}

/** The books of channels. Every operation is one atomic statement; vouchers have no other claim than their channel's row. */
export interface ChannelStore {
  find(key: ChannelKey): Promise<Channel | undefined>
  /** Writes a channel down where there is none, and gives the one that stands. */
  open(channel: Channel): Promise<Channel>
  /** Puts `next` in the place of a channel whose epoch is still this one, raising it; else nothing and `undefined`. */
  update(channel: Channel, next: Channel): Promise<Channel | undefined>
  /** The channels of a side, in any order; with `owed` those of which something is charged and not claimed. */
  list(options: { readonly side: ChannelSide; readonly owed?: boolean }): AsyncIterable<Channel>
}

/** A store as the packages share it: one value, every engine the same. Redis has claims, budgets and logs alone (M18). */
export interface Store {
  readonly claims: ClaimStore
  readonly budgets: BudgetStore
  readonly ledger: LedgerStore
  readonly payees: PayeeStore
  readonly logs: LogStore
  readonly journal: JournalStore
  readonly outbox: OutboxStore
  readonly channels: ChannelStore
  readonly lanes: LaneStore
  /** Lets go of files and connections; what was answered before is safe without it. */
  close(): Promise<void>
}
