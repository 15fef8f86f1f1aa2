import type { SignedTransaction, SignerLease, Slot } from '@flow402x/core'
import { createRounds } from './rounds.ts'
import type { Found, Sight } from './sight.ts'
import { createSteps, lastOf, type Open, type SlotsOptions, unanswered } from './steps.ts'

/** The slots of one signer that are not final. */
export type Slots = {
  /** How many are not mined. */
  readonly open: number
  /** Whether a transaction could not be handed over, or another one stands in its place: then no further nonce is used. */
  readonly blocked: boolean
  /** The nonce of the next slot. Errors: those of the chain. */
  nonce(lease: SignerLease): Promise<bigint>
  /** Asks the chain again for the next nonce. */
  doubt(): void
  /** Takes over what the journal says; whatever was known before is forgotten. */
  load(slots: readonly Slot[]): void
  /** Sends the first transaction of a slot that has just been written down. It never rejects. */
  send(slot: Slot): Promise<void>
  /** Looks soon. */
  poke(): void
  stop(): void
}

type Ordered = Open & {
  /** How often in a row the chain said that somebody else has this nonce. */
  foreign: number
  /** Whether its newest transaction does nothing but use the nonce. */
  emptied: boolean
}

// A node may forget what waits in it; the same bytes cost nothing.
const againAfter = 10_000
const slowestResend = 5000
const atOnce = 8
// A transaction that nodes refuse is replaced so many times sooner than one that they take and do not mine.
const refusedShare = 4
// One node may lag behind another (H30), so one answer does not make a transaction foreign.
const foreignProofs = 3
// A nonce that was read so long ago may have been used by another holder of the key.
const freshFor = 2000

/** Sends, sends again, replaces and finishes the slots of one signer, in the order of their nonces. */
export function createSlots(options: SlotsOptions): Slots {
  const { writer, signer, journal, hold, clock, onEvent, replaceAfter, finality } = options
  const { network } = writer
  let open: Ordered[] = []
  let next = 0n
  const fromChain = chainNonce(options)
  const steps = createSteps(options, (slot) => {
    open = [...open, opened(slot)].toSorted((a, b) => (a.slot.nonce < b.slot.nonce ? -1 : 1))
  })
  const { sight, mined } = steps
  const waiting = (): boolean => open.length > 0 || mined.doubted
  const rounds = createRounds({ look, waiting, sleeping: () => mined.any, onEvent, network })

  return {
    get open() {
      return open.length
    },
    get blocked() {
      return open.some((one) => !one.delivered || one.foreign > 0)
    },
    async nonce() {
      // The journal and the chain both have a say: what was signed for is never signed for again.
      const known = await fromChain.next(open.length === 0)
      return next > known ? next : known
    },
    doubt: fromChain.doubt,
    load(slots) {
      steps.pass(open)
      open = slots.filter(({ state }) => state === 'open' || state === 'foreign').map(opened)
      mined.load(slots)
      next = slots.reduce((highest, { nonce }) => (nonce >= highest ? nonce + 1n : highest), 0n)
      fromChain.doubt()
      rounds.poke()
    },
    async send(slot) {
      fromChain.used()
      const one = opened(slot)
      open.push(one)
      next = slot.nonce + 1n
      await steps.send(one)
      // Where a block follows each transaction it is there already; where it does not, one look per payment would be many.
      if (rounds.quick || open.length === 1) rounds.poke()
      else rounds.start()
    },
    poke: rounds.poke,
    stop: rounds.stop,
  }

  function opened(slot: Slot): Ordered {
    return { ...steps.opened(slot), foreign: slot.state === 'foreign' ? foreignProofs : 0, emptied: false }
  }

  function nothing(): undefined {
    options.idle()
  }

  async function look(): Promise<number | undefined> {
    if (open.length === 0 && !mined.due) return nothing()
    if (!(await hold.take())) {
      steps.pass(open)
      open = []
      return nothing()
    }
    const [oldest] = open
    const before = open.length
    for (let at = 0, width = 1; at < open.length; width = atOnce) {
      const few = open.slice(at, at + width)
      const found = await Promise.all(few.map(({ slot }) => minedIn(slot, sight)))
      const unmined = found.indexOf(undefined)
      const count = unmined < 0 ? few.length : unmined
      const done = await Promise.all(few.slice(0, count).map(async (one, index) => finish(one, found[index])))
      open = open.filter((one) => !done[few.indexOf(one)])
      at += done.filter((ended) => !ended).length
      if (unmined >= 0) break
    }
    const found = open.length < before && oldest !== undefined ? performance.now() - oldest.signedAt : undefined
    for (const one of [...open]) await tend(one, one === open[0])
    if (mined.due) await mined.close()
    if (open.length === 0) nothing()
    return found
  }

  async function finish(one: Ordered, found: Found | undefined): Promise<boolean> {
    return found !== undefined && (await steps.finish(one, found))
  }

  async function tend(one: Ordered, lowest: boolean): Promise<void> {
    const now = performance.now()
    if (lowest && (one.refused || one.foreign > 0 || now - one.sentAt > againAfter) && (await takenByAnother(one))) return
    // What no node takes for what it is stands in the way of all that follow.
    const unwanted = one.refused && !one.arrived
    const stuck = now - one.signedAt > (unwanted ? replaceAfter / refusedShare : replaceAfter)
    const pause = one.sending ? unanswered : Math.min(50 * 2 ** (one.sends - 1), slowestResend)
    const unsent = !one.delivered && now - one.sentAt > pause
    if ((stuck || unsent) && (await isDead(one, options))) await replace(one, { empty: true })
    else if (stuck) await replace(one, { empty: unwanted && one.slot.attempts.length > 1 })
    else if (unsent || (lowest && now - one.sentAt > againAfter)) await steps.send(one)
  }

  /** The same nonce at a higher fee, with the same calls or without any, written down before it is sent. */
  async function replace(one: Ordered, { empty }: { readonly empty: boolean }): Promise<void> {
    one.signedAt = performance.now()
    const { slot } = one
    let signed: SignedTransaction
    try {
      signed = await writer.replace(lastOf(slot), { empty: empty && !one.emptied })
    } catch (error) {
      onEvent({ type: 'notSent', network, signer, error })
      one.sends += 1
      one.sentAt = performance.now()
      return
    }
    const { lease } = hold
    const kept = lease !== undefined && (await journal.prepare(lease, signed, { payments: slot.payments, now: clock() }))
    if (!kept) return hold.lose()
    onEvent({ type: 'replaced', network, signer, nonce: slot.nonce, transaction: signed.transaction, before: lastOf(slot).transaction })
    one.slot = { ...slot, attempts: [...slot.attempts, signed] }
    one.delivered = false
    one.emptied ||= empty
    one.sends = 0
    for (const id of slot.payments) options.carried(id, signed.transaction)
    await steps.send(one)
  }

  /**
   * Whether the chain has mined another transaction on this nonce, so that ours never will be. It halts the lane, also after a restart
   * (M17); when it is final, each payment that is still good is free again, and any other ends as what its scheme says of it.
   */
  async function takenByAnother(one: Ordered): Promise<boolean> {
    const taken = await sight.passed(one.slot, 'mined')
    if (taken !== undefined) one.foreign = taken ? Math.min(one.foreign + 1, foreignProofs) : 0
    const state = one.foreign === foreignProofs ? 'foreign' : one.foreign === 0 ? 'open' : one.slot.state
    if (state !== one.slot.state) await mark(one, state)
    if (one.slot.state !== 'foreign') return one.foreign > 0
    const { slot } = one
    const forGood = finality === 0 || (await sight.passed(slot, 'final')) === true
    if (forGood && (await steps.end(slot, await steps.judge.free(slot)))) open = open.filter((other) => other !== one)
    return true
  }

  async function mark(one: Ordered, state: Slot['state']): Promise<void> {
    const { slot } = one
    if (!(await steps.resolve(slot, state))) return
    one.slot = { ...slot, state }
    if (state === 'foreign') onEvent({ type: 'foreign', network, signer, nonce: slot.nonce, payments: slot.payments })
  }
}

/** Whether every signature in it is past its end, so that its transaction could only burn gas (K3). What replaced it already may go. */
async function isDead({ slot, emptied }: Ordered, { rider, clock }: SlotsOptions): Promise<boolean> {
  if (emptied) return false
  for (const id of slot.payments) {
    const one = await rider(id)
    if (one === undefined || clock() / 1000 <= one.settlement.deadAfter) return false
  }
  return slot.payments.length > 0
}

async function minedIn(slot: Slot, sight: Sight): Promise<Found | undefined> {
  const seen = await sight.see(slot)
  return seen?.state === 'mined' ? seen : undefined
}

/** What the chain said of a signer's next nonce. */
function chainNonce({ writer, signer }: SlotsOptions) {
  let known = 0n
  let at = Number.NEGATIVE_INFINITY
  return {
    async next(mayAsk: boolean): Promise<bigint> {
      if (!mayAsk || performance.now() <= at + freshFor) return known
      known = await writer.nonce(signer)
      at = performance.now()
      return known
    },
    used(): void {
      at = performance.now()
    },
    doubt(): void {
      at = Number.NEGATIVE_INFINITY
    },
  }
}
