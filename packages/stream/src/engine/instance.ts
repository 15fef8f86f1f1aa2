import type { Grade, LaneRow, LaneStanding, LaneStore, LaneTerms, Rail, RailLane, StreamTerms } from '@flow402x/core/stream'
import { costOf, greater, type Units, unitsFor } from '@flow402x/core/stream'
import { createLive, type LaneFacts, type LaneKeeper, type LiveLane, type Patience } from '../lane/live.ts'
import { createTimers } from '../lane/timers.ts'

/** What happened to a lane; nothing in it is secret. Amounts are atomic. */
export type StreamEvent =
  | { readonly type: 'laneOpened' | 'laneResumed'; readonly lane: string; readonly payer: string; readonly resource: string }
  | { readonly type: 'laneEnded'; readonly lane: string; readonly payer: string; readonly used: bigint; readonly reason: string }
  | { readonly type: 'laneLost'; readonly lane: string; readonly reason: string }
  | { readonly type: 'error'; readonly error: unknown }

/** What an instance of the engine is made of. */
export type InstanceOptions = {
  readonly lanes: LaneStore
  readonly patience: Patience
  /** Milliseconds for which it owns its lanes without a sign of life, and between checkpoints. */
  readonly lease: number
  readonly checkpointEvery: number
  readonly emit: (event: StreamEvent) => void
  /** Unix milliseconds, for leases; and a clock that never goes back, for everything that costs money. */
  readonly clock: () => number
  readonly monotonic: () => number
  /** The rail of a row, for lanes that others left. */
  readonly railOf: (row: Pick<LaneTerms, 'scheme' | 'network'>) => Rail | undefined
}

/** A lane and what its books say of it, from which it is begun or taken over. */
export type Beginning = {
  readonly sid: string
  readonly row: LaneRow
  readonly standing: LaneStanding
  readonly terms: StreamTerms
  readonly rail: Rail
}

/** All lanes that one process delivers over: it keeps them its own, writes down where they stand, and ends what others left. */
export interface Instance {
  readonly owner: string
  /** A lane by its secret name, which is not hashed for that: of all names those of live lanes alone are kept. */
  named(sid: string): LiveLane | undefined
  begin(beginning: Beginning): LiveLane
  /** When a lease that is taken now ends (Unix ms). */
  leaseUntil(): number
  /** Asks the books how a lane stands. */
  look(lane: LiveLane): Promise<void>
  /** How a step of a lane is told to its rail. */
  stepOf(lane: LiveLane): RailLane
  /** Makes a lane its own that another let go or lost. */
  take(id: string): Promise<LaneRow | undefined>
  tell(owner: string, message: string): Promise<void>
  /** Waits until a lane was let go for this instance, or so long (ms). */
  freed(id: string, most: number): Promise<void>
  /** Writes everything down now. */
  checkpoint(): Promise<void>
  /** Ends what was left by others and by nobody taken up again. */
  sweep(): Promise<void>
  close(): Promise<void>
}

// Others wait for so much longer than a lease, since clocks differ (M29); and leases are renewed so often in one of them.
const skew = 500
const renewals = 3.3
// How soon what could not be ended is tried again, and how seldom in the end (ms).
const soon = 1000
const seldom = 30_000
const kept = 7 * 86_400_000

/** An instance of the engine. */
export function createInstance(options: InstanceOptions): Instance {
  const { lanes: store, lease, emit, clock, monotonic, railOf } = options
  const [owner, timers] = [crypto.randomUUID(), createTimers(monotonic)]
  const [live, names, expecting] = [new Map<string, LiveLane>(), new Map<string, LiveLane>(), new Map<string, () => void>()]
  let [leaseEnd, rounds]: [number, readonly (() => void)[]] = [monotonic() + lease, []]
  let deaf: Promise<() => Promise<void>> | undefined

  const guard = (work: () => Promise<void>): Promise<void> => work().catch((error: unknown) => emit({ type: 'error', error }))
  const lose = (lane: LiveLane, reason: string): void => {
    // What has ended here is nobody else's: its end is being written, and has its own reason.
    if (live.get(lane.lane.id) !== lane || lane.state() === 'ended') return
    forget(lane)
    lane.fence(reason)
    emit({ type: 'laneLost', lane: lane.lane.id, reason })
  }
  const forget = (lane: LiveLane): void => {
    live.delete(lane.lane.id)
    names.delete(lane.sid)
  }
  const clocks = { now: monotonic, clock, timers, patience: options.patience, leaseEnd: () => leaseEnd }
  const letGo = strays(store, { owner, live, guard })
  const keeper: LaneKeeper = { ...clocks, grow: (lane) => guard(() => grow(lane)), finish: (lane, reason) => finish(lane, { reason }) }

  async function grow(lane: LiveLane): Promise<void> {
    // One that it let go is another's to ask for.
    if (live.get(lane.lane.id) !== lane) return
    const answer = await lane.rail.grow(stepOf(lane))
    if (!('reason' in answer)) lane.credit(answer)
    else if (answer.status === 410) lose(lane, 'another delivers it')
  }
  async function finish(lane: LiveLane, { reason, again = soon }: { reason: string; again?: number }): Promise<bigint | undefined> {
    try {
      const end = await lane.rail.end(stepOf(lane), { refundable: lane.lane.refundable })
      await store.checkpoint(owner, [lane.checkpoint()])
      forget(lane)
      emit({ type: 'laneEnded', lane: lane.lane.id, payer: lane.lane.payer, used: lane.used(), reason })
      return 'reason' in end ? undefined : end.charged
    } catch (error) {
      emit({ type: 'error', error })
      // Whoever cannot write now tries until he can: nobody else ends a lane whose lease is renewed.
      timers.at(monotonic() + again, { ring: () => void finish(lane, { reason, again: Math.min(2 * again, seldom) }) })
      return undefined
    }
  }
  async function renew(): Promise<void> {
    const [asked, now] = [monotonic(), clock()]
    const leases = await store.renew(owner, { now, until: now + lease })
    const mine = new Map(leases.map(({ id, wanted }) => [id, wanted]))
    leaseEnd = asked + lease
    // What goes wrong with one lane is nothing of the others'.
    for (const lane of [...live.values()]) {
      const { id } = lane.lane
      const wanted = mine.get(id)
      if (wanted !== undefined) await guard(() => handOver(id, wanted))
      else if (!mine.has(id) && lane.state() !== 'ended') await guard(() => retake(lane))
    }
    await letGo(leases)
  }
  /** A lane whose lease ran out while nothing could be written: its own again, unless somebody was faster. */
  async function retake(lane: LiveLane): Promise<void> {
    const { id } = lane.lane
    const row = await store.take(id, { owner, now: clock(), until: clock() + lease })
    if (row !== undefined) {
      const standing = await lane.rail.adopt({ ...stepOf(lane), epoch: row.epoch })
      if (!('reason' in standing)) {
        lane.reclaim(row.epoch, standing)
        return
      }
    }
    // One that was begun while the leases were renewed is not among them.
    const standing = row ?? (await store.find(id))
    if (standing?.owner === owner && standing.epoch === lane.epoch && standing.leaseUntil > clock()) return
    lose(lane, 'its lease was lost')
  }
  async function handOver(id: string, to: string): Promise<void> {
    const lane = live.get(id)
    if (lane === undefined || lane.state() === 'ended') return
    // What it delivered counts before anybody else begins (M25).
    await lane.rail.grow({ ...stepOf(lane), slice: 0n })
    const last = lane.checkpoint()
    forget(lane)
    lane.fence('resumed elsewhere')
    await store.release(owner, { ...last, units: lane.units(), used: lane.used(), state: 'detached', since: clock() })
    await instance.tell(to, `released ${id}`)
  }
  /** Ends a lane that nobody delivers over any more, by its last checkpoint. */
  async function endLeft({ id, ...left }: LaneRow): Promise<void> {
    const rail = railOf(left)
    // Of what it has itself it knows more than the last checkpoint.
    if (live.has(id)) return
    const row = rail && (await instance.take(id))
    if (rail === undefined || row === undefined) return
    const step = { id, channelId: row.channelId, epoch: row.epoch, used: row.used, slice: 0n }
    await rail.adopt(step)
    const end = await rail.end(step, { refundable: row.refundable })
    const used = 'reason' in end ? row.used : end.used
    await store.checkpoint(owner, [{ ...row, used, state: 'ended', since: clock(), reason: 'left' }])
    emit({ type: 'laneEnded', lane: id, payer: row.payer, used, reason: 'left' })
  }
  async function write(): Promise<void> {
    const moved = [...live.values()].filter((lane) => lane.hasMoved() && lane.state() !== 'ended')
    const gone =
      moved.length === 0
        ? []
        : await store.checkpoint(
            owner,
            moved.map((lane) => lane.checkpoint()),
          )
    for (const id of gone) {
      const lane = live.get(id)
      if (lane !== undefined && lane.state() !== 'ended') lose(lane, 'another delivers it')
    }
  }
  const hear = (message: string): void => {
    const [word, id = '', by = ''] = message.split(' ')
    const lane = live.get(id)
    if (word === 'credit' && lane !== undefined) void keeper.grow(lane)
    else if (word === 'handover') void guard(() => handOver(id, by))
    else if (lane !== undefined && word === 'pause') lane.pause()
    else if (lane !== undefined && word === 'resume') lane.resume()
    else if (lane !== undefined && word === 'close') void lane.end('closed')
    else if (word === 'released') expecting.get(id)?.()
  }
  const start = (): void => {
    deaf ??= store.inbox?.listen(owner, hear)
    if (rounds.length > 0) return
    rounds = [
      every(lease / renewals, () => guard(renew)),
      every(options.checkpointEvery, () => guard(write)),
      every(lease, () => guard(() => instance.sweep())),
    ]
  }

  const instance: Instance = {
    owner,
    stepOf,
    look: keeper.grow,
    named: (sid) => names.get(sid),
    leaseUntil() {
      // Who owned nothing renewed nothing.
      if (live.size === 0) leaseEnd = monotonic() + lease
      start()
      return clock() + lease
    },
    begin({ sid, row, standing, terms, rail }) {
      start()
      const units = unitsAt(row, standing)
      const { id, epoch, replayed } = row
      const lane = createLive({ sid, lane: factsOf(row), terms, rail, epoch, standing, units, replayed, keeper })
      live.set(id, lane)
      names.set(sid, lane)
      return lane
    },
    async take(id) {
      const until = instance.leaseUntil()
      return store.take(id, { owner, now: clock() - skew, until })
    },
    async tell(to, message) {
      if (to === owner) hear(message)
      else await store.inbox?.tell(to, message)
    },
    freed: (id, most) =>
      new Promise((resolve) => {
        const done = (): void => {
          timers.cancel(alarm)
          expecting.delete(id)
          resolve()
        }
        const alarm = timers.at(monotonic() + most, { ring: done })
        expecting.set(id, done)
      }),
    checkpoint: write,
    async sweep() {
      for await (const row of store.abandoned(clock() - options.patience.detached)) await guard(() => endLeft(row))
      await store.purge(clock() - kept)
    },
    async close() {
      for (const stop of rounds) stop()
      rounds = []
      await Promise.all([...live.values()].map((lane) => lane.end('closed by its server')))
      await (await deaf)?.()
      deaf = undefined
    },
  }
  return instance
}

/**
 * Lets go of lanes that an owner has in the store at two renewals and does not have: each began or was taken, and the answer to that was
 * lost. As long as they are renewed nobody else can end them.
 */
function strays(
  store: LaneStore,
  { owner, live, guard }: { owner: string; live: ReadonlyMap<string, LiveLane>; guard: (work: () => Promise<void>) => Promise<void> },
): (leases: readonly { readonly id: string }[]) => Promise<void> {
  let before: ReadonlySet<string> = new Set()
  const release = async (id: string): Promise<void> => {
    const row = await store.find(id)
    if (row?.owner === owner && !live.has(id)) await store.release(owner, row)
  }
  return async (leases) => {
    const found = leases.flatMap(({ id }) => (live.has(id) ? [] : [id]))
    for (const id of found) if (before.has(id)) await guard(() => release(id))
    before = new Set(found)
  }
}

/** Without what changes: an object made for the row would be kept as long as the lane. */
function factsOf({ id, scheme, network, channelId, payer, resource, route, rate, grade, refundable }: LaneRow): LaneFacts {
  return { id, scheme, network, channelId, payer, resource, route, rate, grade, refundable }
}

function stepOf(lane: LiveLane): RailLane {
  const { id, channelId, grade } = lane.lane
  return { id, channelId, epoch: lane.epoch, used: lane.used(), slice: sliceOf(lane.terms, grade) }
}

/** Works again and again, one round at a time, and keeps no process alive; until the answer is called. */
function every(milliseconds: number, work: () => Promise<void>): () => void {
  let running = false
  const timer = setInterval(() => {
    if (running) return
    running = true
    void work().finally(() => {
      running = false
    })
  }, milliseconds)
  if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  return () => clearInterval(timer)
}

/** The most that is granted ahead: what the largest window of a grade costs (M29). */
export function sliceOf({ rate, windowMax, buy }: Pick<StreamTerms, 'rate' | 'windowMax' | 'buy'>, grade: Grade): bigint {
  return costOf(rate, grade === 'A' ? buy : windowMax)
}

/** Units by the last checkpoint, and no fewer than what the books have charged for. */
function unitsAt(row: LaneRow, { used }: LaneStanding): Units {
  if (costOf(row.rate, row.units) >= used) return row.units
  return greater(row.units, unitsFor(row.rate, used - 1n) + 1n)
}
