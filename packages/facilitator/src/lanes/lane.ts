import { setTimeout as pause } from 'node:timers/promises'
import { type Rider, takeBatch } from './batch.ts'
import { createDispatch, type DispatchOptions } from './dispatch.ts'
import { createHold, createTurns } from './lease.ts'
import { createSlots } from './slots.ts'
import type { SlotsOptions } from './steps.ts'
import { createUnorderedSlots } from './unordered.ts'

/** What a lane is made of. Times in milliseconds. */
export type LaneOptions = Omit<SlotsOptions, 'hold' | 'unpaid' | 'idle'> & {
  readonly owner: string
  /** The most payments in one transaction. */
  readonly most: number
  readonly leaseFor: number
  /** Whether other processes may want the signer. */
  readonly shared: boolean
  readonly unsent: DispatchOptions['unsent']
  /** Whether payments are on their way that may want this lane. */
  readonly coming: () => boolean
  /** Whether a payment that is still to be had is sent again: somebody here waits for it, or it was told settled. */
  readonly wanted: (rider: Rider) => boolean
  /** Payments that wait for a signer which another process holds. */
  readonly denied: (riders: readonly Rider[]) => readonly Rider[]
}

/** The order in which one signer sends. */
export type Lane = {
  readonly signer: string
  /** Payments that wait here or ride in something unmined. */
  readonly load: number
  /** Whether this process holds the signer, as far as it knows. */
  readonly held: boolean
  /** Whether another process was seen to hold the signer. */
  readonly elsewhere: boolean
  add(rider: Rider): void
  /** Finishes what the journal has of this signer, if nobody else does. Errors: those of the journal. */
  recover(): Promise<void>
  /** Looks at the chain soon. */
  poke(): void
  close(): Promise<void>
}

// Others are asked for a signer they hold this often.
const askAgain = 40
// A signer that others left in order is looked through this often.
const recoverAgain = 5000
// While a transaction waits for its block, or others are on their way, payments gather so long at most for the next one.
const gather = 20
// Where nothing waits for anything, so many are signed at a time.
const atOnce = 32

/**
 * One signer: what waits for it is signed, written down, sent and finished. Where nonces have an order that is done in batches, one
 * nonce after the other without a gap, and a payment alone goes at once; where they have none, each payment goes by itself.
 * Nothing here rejects because of one payment (H9).
 */
export function createLane(options: LaneOptions): Lane {
  const { writer, signer, journal, owner, payers, clock, onEvent, most } = options
  const { network } = writer
  const queue: Rider[] = []
  const journalFailed = (error: unknown): void => onEvent({ type: 'journalFailed', network, error })
  let driving = false
  let closed = false
  let recoverAt = 0
  let minedAt = performance.now()
  const hold = createHold({ journal, network, signer, owner, milliseconds: options.leaseFor, clock, taken })
  const turns = createTurns({
    hold,
    shared: options.shared,
    nothing: () => !driving && slots.open === 0,
    pause: () => pause(askAgain),
    failed: journalFailed,
  })
  const slots = (writer.ordered ? createSlots : createUnorderedSlots)({ ...options, hold, unpaid, idle: turns.idle })
  const dispatch = createDispatch({ ...options, hold, slots, back: (riders) => queue.unshift(...riders) })
  return {
    signer,
    get load() {
      return queue.length + slots.open
    },
    get held() {
      return hold.lease !== undefined
    },
    get elsewhere() {
      return turns.elsewhere
    },
    add,
    recover,
    poke: slots.poke,
    async close() {
      closed = true
      turns.stop()
      slots.stop()
      await hold.release()
    },
  }

  async function recover(): Promise<void> {
    if (driving || slots.open > 0 || closed || performance.now() < recoverAt) return
    const left = await journal.slots({ network, signer })
    // What is mined already is looked at as seldom as if it were our own.
    const urgent = left.some(({ state }) => state !== 'mined')
    if (!urgent) recoverAt = performance.now() + recoverAgain
    if (!urgent && (left.length === 0 || performance.now() < minedAt + options.finality)) return
    minedAt = performance.now()
    await hold.take()
  }

  function unpaid(rider: Rider): void {
    // Any other stays queued in the journal, for whoever asks for it again.
    if (options.wanted(rider)) add({ ...rider, again: true })
  }

  function add(rider: Rider): void {
    queue.push(rider)
    turns.busy()
    if (!driving) void drive()
  }

  async function taken(): Promise<void> {
    slots.load(await journal.slots({ network, signer }))
    turns.begin()
  }

  async function drive(): Promise<void> {
    driving = true
    while (queue.length > 0 && !closed) {
      try {
        if (await mayDispatch()) await dispatch(await stillWanted(next()))
        else queue.unshift(...(await stillWanted([queue.splice(0)])).flat())
      } catch (error) {
        journalFailed(error)
        hold.lose()
        await pause(askAgain)
      }
    }
    driving = false
    if (slots.open === 0) turns.idle()
  }

  function next(): readonly (readonly Rider[])[] {
    return writer.ordered ? [takeBatch(queue, { most, payers })] : queue.splice(0, atOnce).map((rider) => [rider])
  }

  /** What somebody still wants; of anything else it is told that it was not sent. */
  async function stillWanted(batches: readonly (readonly Rider[])[]): Promise<readonly (readonly Rider[])[]> {
    const gone = new Set(batches.flat().filter(({ cancelled }) => cancelled()))
    for (const rider of gone) await options.unsent(rider, { reason: 'settlement_cancelled' }).catch(journalFailed)
    return batches.map((batch) => batch.filter((rider) => !gone.has(rider))).filter((batch) => batch.length > 0)
  }

  async function mayDispatch(): Promise<boolean> {
    const ours = await turns.take()
    if (!ours) queue.push(...options.denied(queue.splice(0)))
    if (!ours || slots.blocked) {
      await pause(askAgain / 2)
      return false
    }
    const company = (): boolean => queue.length < most && (slots.open > 0 || options.coming())
    for (const since = performance.now(); most > 1 && company() && performance.now() < since + gather; ) await pause(1)
    // A transaction may have turned out to be undeliverable meanwhile.
    return !slots.blocked && hold.lease !== undefined
  }
}
