import { setTimeout as pause } from 'node:timers/promises'
import { type Call, type ChainWriter, isX402Error, type Outcome, type SignedTransaction, type Slot } from '@flow402x/core'
import { type Rider, takeBatch } from './batch.ts'
import { createHold } from './lease.ts'
import { createSlots, type Slots, type SlotsOptions } from './slots.ts'

/** What a lane is made of. Times in milliseconds. */
export type LaneOptions = Omit<SlotsOptions, 'hold' | 'unpaid' | 'idle'> & {
  readonly owner: string
  /** The most payments in one transaction. */
  readonly most: number
  readonly leaseFor: number
  /** Whether other processes may want the signer. */
  readonly shared: boolean
  /** A payment for which nothing was sent and nothing will be: anybody may hand it in again. */
  readonly unsent: (rider: Rider, why: { readonly reason: string; readonly error?: unknown }) => Promise<void>
  /** Whether somebody in this process waits for a payment. */
  readonly wanted: (id: string) => boolean
  /** Payments that wait for a signer which another process holds. */
  readonly denied: (riders: readonly Rider[], lane: Lane) => readonly Rider[]
}

/** The order in which one signer sends. */
export type Lane = {
  readonly signer: string
  /** Payments that wait here or ride in something unmined. */
  readonly load: number
  /** Whether another process was seen to hold the signer. */
  readonly elsewhere: boolean
  add(rider: Rider): void
  /** Finishes what the journal has of this signer, if nobody else does. Errors: those of the journal. */
  recover(): Promise<void>
  /** Looks at the chain soon. */
  poke(): void
  close(): Promise<void>
}

// Others are asked for a signer they hold this often; a signer that has nothing to do is kept this long, and under load this
// long at a time before another may have it.
const askAgain = 40
const deniedFor = 500
const linger = 250
const turn = 2000
// While a transaction waits for its block, payments gather this long for the next one.
const gather = 5
// A nonce that was read so long ago may have been used by another holder of the key.
const freshFor = 2000

/**
 * One signer: what waits for it is signed in batches, written down, sent and finished, one nonce after the other without a gap.
 * A payment alone goes at once. Nothing here rejects because of one payment (H9).
 */
export function createLane(options: LaneOptions): Lane {
  const { writer, signer, journal, owner, payers, clock, onEvent, most, shared } = options
  const { network } = writer
  const queue: Rider[] = []
  const journalFailed = (error: unknown): void => onEvent({ type: 'journalFailed', network, error })
  let driving = false
  let deniedAt = Number.NEGATIVE_INFINITY
  let closed = false
  let turnSince = 0
  let letGo: NodeJS.Timeout | undefined
  const hold = createHold({ journal, network, signer, owner, milliseconds: options.leaseFor, clock, taken })
  const slots = createSlots({ ...options, hold, unpaid, idle })
  const nonces = createNonces(writer, { signer, slots })
  const lane: Lane = {
    signer,
    get load() {
      return queue.length + slots.open
    },
    get elsewhere() {
      return performance.now() < deniedAt + deniedFor
    },
    add,
    async recover() {
      if (driving || slots.open > 0 || closed) return
      const left = await journal.slots({ network, signer })
      if (left.some(({ state, since }) => state !== 'mined' || since + options.finality <= clock())) await hold.take()
    },
    poke: slots.poke,
    async close() {
      closed = true
      clearTimeout(letGo)
      slots.stop()
      await hold.release()
    },
  }
  return lane

  function unpaid(rider: Rider): void {
    // What nobody here waits for stays queued in the journal, for whoever asks for it again.
    if (options.wanted(rider.id)) add({ ...rider, again: true })
  }

  function add(rider: Rider): void {
    queue.push(rider)
    clearTimeout(letGo)
    if (!driving) void drive()
  }

  async function taken(): Promise<void> {
    slots.load(await journal.slots({ network, signer }))
    nonces.doubt()
    turnSince = performance.now()
  }

  function idle(): void {
    // Others may have the signer when there is nothing to do, but not between two payments of a busy time.
    clearTimeout(letGo)
    if (!shared || closed) return
    letGo = setTimeout(() => {
      if (!driving && slots.open === 0) hold.release().catch(journalFailed)
    }, linger)
    letGo.unref()
  }

  async function drive(): Promise<void> {
    driving = true
    while (queue.length > 0 && !closed) {
      try {
        await dropCancelled()
        if (queue.length === 0) break
        if (!(await mayDispatch())) continue
        const batch = takeBatch(queue, { most, payers })
        await dispatch(batch).catch((error: unknown) => {
          queue.unshift(...batch)
          throw error
        })
      } catch (error) {
        journalFailed(error)
        hold.lose()
        await pause(askAgain)
      }
    }
    driving = false
    if (slots.open === 0) idle()
  }

  async function dropCancelled(): Promise<void> {
    for (const rider of queue.filter(({ cancelled }) => cancelled())) {
      queue.splice(queue.indexOf(rider), 1)
      await options.unsent(rider, { reason: 'settlement_cancelled' })
    }
  }

  async function mayDispatch(): Promise<boolean> {
    if (shared && hold.lease !== undefined && performance.now() > turnSince + turn) {
      await hold.release()
      await pause(askAgain)
    }
    const ours = await hold.take()
    deniedAt = ours ? Number.NEGATIVE_INFINITY : performance.now()
    if (!ours) queue.push(...options.denied(queue.splice(0), lane))
    if (!ours || slots.blocked) {
      await pause(askAgain / 2)
      return false
    }
    for (let waited = 0; waited < gather && slots.open > 0 && queue.length < most && most > 1; waited += 1) await pause(1)
    // A transaction may have turned out to be undeliverable meanwhile.
    return !slots.blocked && hold.lease !== undefined
  }

  /** Signs, writes down, sends. A batch that cannot be signed for is halved until the payment that prevents it is alone. */
  async function dispatch(batch: readonly Rider[]): Promise<void> {
    let signed: SignedTransaction
    try {
      const nonce = await nonces.next()
      signed = await writer.sign(
        batch.flatMap(({ calls }): readonly Call[] => calls),
        { signer, nonce },
      )
    } catch (error) {
      onEvent({ type: 'notSent', network, signer, error })
      const theirs = isX402Error(error) && error.retry === 'never'
      if (batch.length === 1 || !theirs) return notSigned(batch, error)
      const half = Math.ceil(batch.length / 2)
      await dispatch(batch.slice(0, half))
      return dispatch(batch.slice(half))
    }
    const { lease } = hold
    const payments = batch.map(({ id }) => id)
    const since = clock()
    if (lease === undefined || !(await journal.prepare(lease, signed, { payments, now: since }))) return requeue(batch)
    nonces.used()
    const slot: Slot = { network, signer, nonce: signed.nonce, attempts: [signed], payments, state: 'open', since }
    await slots.send(slot)
  }

  async function notSigned(batch: readonly Rider[], error: unknown): Promise<void> {
    nonces.doubt()
    for (const rider of batch) await options.unsent(rider, { reason: 'settlement_not_sent', error })
  }

  /** Nothing was written down: the lease has passed on, or somebody took or ended one of the payments. */
  async function requeue(batch: readonly Rider[]): Promise<void> {
    hold.lose()
    for (const rider of batch) {
      const now = await journal.find(rider.id)
      const ended: Outcome | undefined = now?.outcome
      if (ended !== undefined) options.ended(rider.id, ended)
      else if (now === undefined) await options.unsent(rider, { reason: 'settlement_not_sent' })
      else if (now.slot === undefined) queue.unshift(rider)
    }
  }
}

type Nonces = {
  next(): Promise<bigint>
  used(): void
  doubt(): void
}

/** The journal and the chain both have a say: what was signed for is never signed for again. */
function createNonces(writer: ChainWriter, { signer, slots }: { readonly signer: string; readonly slots: Slots }): Nonces {
  let at = Number.NEGATIVE_INFINITY
  let known = 0n
  return {
    async next() {
      if (slots.open === 0 && performance.now() > at + freshFor) {
        known = await writer.nonce(signer)
        at = performance.now()
      }
      return slots.next > known ? slots.next : known
    },
    used() {
      at = performance.now()
    },
    doubt() {
      at = Number.NEGATIVE_INFINITY
    },
  }
}
