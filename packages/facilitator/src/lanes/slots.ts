import { type ChainWriter, isX402Error, type JournalStore, type Outcome, type SignedTransaction, type Slot } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'
import type { Payers, Rider } from './batch.ts'
import { createFinality } from './finality.ts'
import { createJudge } from './judge.ts'
import type { Hold } from './lease.ts'
import { createRounds } from './rounds.ts'
import { createSight, type Found } from './sight.ts'

/** What slots are finished with. Times in milliseconds; `clock` in Unix milliseconds. */
export type SlotsOptions = {
  readonly writer: ChainWriter
  readonly signer: string
  readonly journal: JournalStore
  readonly hold: Hold
  readonly payers: Payers
  readonly clock: () => number
  readonly onEvent: OnEvent
  /** After so long without a block a transaction is replaced by one that offers more. */
  readonly replaceAfter: number
  /** So long after it was mined a transaction is looked at once more: then it is final, or else it is sent again (M17). */
  readonly finality: number
  /** The payment of a slot, also one that another process put there; nothing when no scheme here knows it. */
  readonly rider: (id: string) => Promise<Rider | undefined>
  /** A payment got this transaction: its first, or one in the place of another. */
  readonly carried: (id: string, transaction: string) => void
  readonly ended: (id: string, outcome: Outcome) => void
  /** Nothing is left that must be seen soon. */
  readonly idle: () => void
  /** The chain proved that this payment's transaction did nothing for it, and that it is still to be had. */
  readonly unpaid: (rider: Rider) => void
}

/** The slots of one signer that are not final. */
export type Slots = {
  /** How many are not mined. */
  readonly open: number
  /** Whether a transaction could not be handed over, or another one stands in its place: then no further nonce is used. */
  readonly blocked: boolean
  /** The nonce after the highest slot. */
  readonly next: bigint
  /** Takes over what the journal says; whatever was known before is forgotten. */
  load(slots: readonly Slot[]): void
  /** Sends the first transaction of a slot that has just been written down. It never rejects. */
  send(slot: Slot): Promise<void>
  /** Looks soon. */
  poke(): void
  stop(): void
}

type Open = {
  slot: Slot
  delivered: boolean
  refused: boolean
  sends: number
  sentAt: number
  signedAt: number
  /** How often in a row the chain said that somebody else has this nonce, and since when. */
  foreign: number
  foreignSince: number
}

// A node may forget what waits in it; the same bytes cost nothing.
const againAfter = 10_000
const slowestResend = 5000
const atOnce = 8
// One node may lag behind another (H30), so one answer does not make a transaction foreign.
const foreignProofs = 3

/** Sends, sends again, replaces and finishes the slots of one signer, in the order of their nonces. */
export function createSlots(options: SlotsOptions): Slots {
  const { writer, signer, journal, hold, clock, onEvent, replaceAfter, finality } = options
  const { network } = writer
  let open: Open[] = []
  let next = 0n
  let instant = true
  const delivered = new Set<string>()
  const sight = createSight(options)
  const judge = createJudge(options)
  const mined = createFinality({ ...options, sight, resolve, reopen })
  const rounds = createRounds({ look, waiting: () => open.length > 0, sleeping: () => mined.any, onEvent, network })

  return {
    get open() {
      return open.length
    },
    get blocked() {
      return open.some((one) => !one.delivered || one.foreign > 0)
    },
    get next() {
      return next
    },
    load(slots) {
      open = slots.filter(({ state }) => state === 'open' || state === 'foreign').map((slot) => opened(slot, delivered))
      mined.load(slots)
      next = slots.reduce((highest, { nonce }) => (nonce >= highest ? nonce + 1n : highest), 0n)
      for (const { slot } of open) for (const id of slot.payments) options.carried(id, lastOf(slot).transaction)
      rounds.poke()
    },
    async send(slot) {
      const one = opened(slot, delivered)
      open.push(one)
      next = slot.nonce + 1n
      for (const id of slot.payments) options.carried(id, lastOf(slot).transaction)
      await send(one)
      // Where a block follows each transaction it is there already; where it does not, one look per payment would be many.
      if (instant || open.length === 1) rounds.poke()
      else rounds.start()
    },
    poke: rounds.poke,
    stop: rounds.stop,
  }

  async function look(): Promise<boolean> {
    if (open.length === 0 && !mined.due) return false
    if (!(await hold.take())) {
      open = []
      mined.clear()
      return false
    }
    const before = open.length
    for (let at = 0, width = 1; at < open.length; width = atOnce) {
      const few = open.slice(at, at + width)
      const found = await Promise.all(few.map(({ slot }) => sight.mined(slot)))
      const unmined = found.indexOf(undefined)
      const count = unmined < 0 ? few.length : unmined
      const done = await Promise.all(few.slice(0, count).map(async (one, index) => finish(one, found[index])))
      open = open.filter((one) => !done[few.indexOf(one)])
      at += done.filter((ended) => !ended).length
      if (unmined >= 0) break
    }
    const progress = open.length < before
    instant = progress
    for (const one of [...open]) await tend(one, one === open[0])
    if (mined.due) await mined.close()
    if (open.length === 0) options.idle()
    return progress
  }

  /** Writes down what a mined transaction did for each payment in it, and says whether that is done. */
  async function finish({ slot }: Open, found: Found | undefined): Promise<boolean> {
    if (found === undefined) return false
    const judged = await judge.mined(slot, found)
    if (judged === undefined) return false
    const { outcomes, unpaid } = judged
    // A payment leaves a slot only when that is final; what pays once however often it is sent need not wait for it.
    const state = finality > 0 && unpaid.length === 0 ? 'mined' : 'final'
    if (!(await resolve(slot, state, outcomes))) return false
    if (state === 'mined') mined.add(slot)
    for (const { transaction } of slot.attempts) delivered.delete(transaction)
    for (const [id, outcome] of outcomes) options.ended(id, outcome)
    for (const rider of unpaid) options.unpaid(rider)
    return true
  }

  async function resolve(slot: Slot, state: Slot['state'], outcomes: ReadonlyMap<string, Outcome>): Promise<boolean> {
    const { lease } = hold
    const done = lease !== undefined && (await journal.resolve(lease, slot, { state, outcomes, now: clock() }))
    if (!done) hold.lose()
    return done
  }

  function reopen(slot: Slot): void {
    onEvent({ type: 'reorganised', network, signer, nonce: slot.nonce, transaction: lastOf(slot).transaction })
    open = [...open, opened(slot, delivered)].toSorted((a, b) => (a.slot.nonce < b.slot.nonce ? -1 : 1))
  }

  async function tend(one: Open, lowest: boolean): Promise<void> {
    const now = performance.now()
    if (lowest && (one.refused || one.foreign > 0 || now - one.sentAt > againAfter) && (await takenByAnother(one))) return
    if (now - one.signedAt > replaceAfter) await replace(one)
    else if (!one.delivered && now - one.sentAt > Math.min(50 * 2 ** (one.sends - 1), slowestResend)) await send(one)
    else if (lowest && now - one.sentAt > againAfter) await send(one)
  }

  async function send(one: Open): Promise<void> {
    const signed = lastOf(one.slot)
    const { transaction, nonce } = signed
    one.sends += 1
    one.sentAt = performance.now()
    try {
      await writer.send(signed)
      one.refused = false
      if (one.delivered) return
      one.delivered = true
      delivered.add(transaction)
      onEvent({ type: 'sent', network, signer, nonce, transaction })
    } catch (error) {
      one.refused = isX402Error(error) && error.moneyMoved === 'no'
      onEvent({ type: 'sendFailed', network, signer, nonce, transaction, attempt: one.sends, error })
    }
  }

  /** The same nonce and the same calls at a higher fee, written down before it is sent. */
  async function replace(one: Open): Promise<void> {
    one.signedAt = performance.now()
    const { slot } = one
    let signed: SignedTransaction
    try {
      signed = await writer.replace(lastOf(slot))
    } catch (error) {
      onEvent({ type: 'notSent', network, signer, error })
      return
    }
    const { lease } = hold
    const kept = lease !== undefined && (await journal.prepare(lease, signed, { payments: slot.payments, now: clock() }))
    if (!kept) return hold.lose()
    onEvent({ type: 'replaced', network, signer, nonce: slot.nonce, transaction: signed.transaction, before: lastOf(slot).transaction })
    one.slot = { ...slot, attempts: [...slot.attempts, signed] }
    one.delivered = false
    one.sends = 0
    for (const id of slot.payments) options.carried(id, signed.transaction)
    await send(one)
  }

  /**
   * Whether the chain has mined another transaction on this nonce, so that ours never will be. It halts the lane (M17); when it
   * is final, each payment that is still good is free again, and any other ends as what its scheme says of it.
   */
  async function takenByAnother(one: Open): Promise<boolean> {
    const { slot } = one
    const taken = await sight.passed(slot)
    if (taken === undefined) return one.foreign > 0
    one.foreign = taken ? one.foreign + 1 : 0
    if (one.foreign < foreignProofs) return one.foreign > 0
    if (one.foreign === foreignProofs) {
      one.foreignSince = clock()
      onEvent({ type: 'foreign', network, signer, nonce: slot.nonce, payments: slot.payments })
    }
    if (clock() < one.foreignSince + finality) return true
    await free(one)
    return true
  }

  async function free(one: Open): Promise<void> {
    const { slot } = one
    const judged = await judge.free(slot)
    if (judged === undefined) return
    const { outcomes, unpaid } = judged
    if (!(await resolve(slot, 'final', outcomes))) return
    open = open.filter((other) => other !== one)
    for (const [id, outcome] of outcomes) options.ended(id, outcome)
    for (const rider of unpaid) options.unpaid(rider)
  }
}

function opened(slot: Slot, delivered: ReadonlySet<string>): Open {
  const known = delivered.has(lastOf(slot).transaction)
  const now = performance.now()
  return { slot, delivered: known, refused: false, sends: 0, sentAt: now, signedAt: now, foreign: 0, foreignSince: 0 }
}

function lastOf({ attempts }: Slot): SignedTransaction {
  // A slot is written down with its first attempt and never loses one.
  return attempts.at(-1) as SignedTransaction
}
