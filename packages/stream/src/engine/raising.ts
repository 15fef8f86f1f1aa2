import type { LaneRefusal, LaneRow, LaneStanding, Rail, RailChannel, RailLane, TickVoucher } from '@flow402x/core/stream'
import type { LiveLane } from '../lane/live.ts'
import { sliceOf } from './instance.ts'
import type { Engine, Route } from './streams.ts'

/** A lane that a tick is for: one that is here, or the row of another's; `over` where it has ended. */
export type Found = {
  readonly id: string
  readonly live?: LiveLane
  readonly row: Pick<LaneRow, 'scheme' | 'network' | 'channelId' | 'grade' | 'rate'>
  readonly over?: Pick<LaneRow, 'units' | 'used' | 'reason'>
}

/** How a lane stands that more was signed for, or why nothing came of it. */
export type Raised = LaneStanding | LaneRefusal

/** Takes vouchers of grade B, for lanes that are here and for others'. */
export interface Raising {
  /** Whether a lane ticks no faster than it may: each call counts as a tick. */
  isInTime(id: string, ticksPerSecond: number): boolean
  /** Raises what is signed for a lane. Vouchers that come while one is written wait, and then the highest speaks for all. */
  raise(route: Route, found: Found, voucher: TickVoucher): Promise<Raised>
  /** The channel that pays for a lane. */
  channelOf(found: Found): RailChannel | Promise<RailChannel | undefined> | undefined
  /**
   * Takes a step of a lane; once more as one that is another's, where its books say that this instance is not its owner any more: who slept
   * past his lease may hear of a tick before he hears of that.
   */
  step<Answer extends object>(
    route: Pick<Route, 'offers'>,
    found: Found,
    take: (step: RailLane) => Promise<Answer | LaneRefusal>,
  ): Promise<Answer | LaneRefusal>
  /** What came of a payment: with credit the lane goes on, here or where its owner hears of it. */
  arrived(found: Found, raised: Raised): void | Promise<void>
}

type Waiting = { readonly voucher: TickVoucher; readonly answer: (raised: Raised) => void; readonly fail: (error: unknown) => void }

/** The ticks of a lane: how many came in this second, and those that wait while one is written. */
type Line = { second: number; count: number; waiting: Waiting[] | undefined }

const mostWaiting = 64
const mostKnown = 8192

/** What takes vouchers for an engine. What can be had at once is not waited for: of lanes that are here a tick waits for the books alone. */
export function createRaising(base: Pick<Engine, 'railOf' | 'instance' | 'lanes' | 'emit' | 'monotonic'>): Raising {
  const lines = new Map<string, Line>()
  const channels = new Map<string, RailChannel>()

  const lineOf = (id: string): Line => {
    const known = lines.get(id)
    if (known !== undefined) return known
    const line: Line = { second: 0, count: 0, waiting: undefined }
    remember(lines, id, line)
    return line
  }
  const ask = async ({ row }: Found): Promise<RailChannel | undefined> => {
    const channel = await base.railOf(row)?.channel(row.channelId)
    if (channel !== undefined) remember(channels, row.channelId, channel)
    return channel
  }
  const channelOf: Raising['channelOf'] = (found) => channels.get(found.row.channelId) ?? ask(found)

  const stepOf = ({ offers }: Pick<Route, 'offers'>, { id, live, row }: Found): RailLane => {
    if (live !== undefined) return base.instance.stepOf(live)
    const terms = offers.all.find(({ scheme }) => scheme.scheme === row.scheme && scheme.network === row.network)?.terms
    return { id, channelId: row.channelId, slice: terms === undefined ? 0n : sliceOf({ ...terms, rate: row.rate }, row.grade) }
  }
  const step: Raising['step'] = async (route, found, take) => {
    const { live, ...another } = found
    const answer = await take(stepOf(route, found))
    if (live === undefined || !('status' in answer) || answer.status !== 410) return answer
    await base.instance.look(live)
    return take(stepOf(route, another))
  }
  const arrived: Raising['arrived'] = ({ id, live }, raised) => {
    if ('reason' in raised) return raised.status === 423 && live !== undefined ? void base.instance.look(live) : undefined
    const isHere = live !== undefined && base.instance.named(live.sid) === live
    return isHere ? live.credit(raised) : tellOwner(id)
  }
  async function tellOwner(id: string): Promise<void> {
    const row = await base.lanes.find(id)
    if (row !== undefined)
      await base.instance.tell(row.owner, `credit ${id}`).catch((error: unknown) => base.emit({ type: 'error', error }))
  }

  /** What one voucher comes to; nothing where the channel's key did not sign it. */
  async function judged(route: Route, found: Found, voucher: TickVoucher): Promise<Raised | undefined> {
    const rail = base.railOf(found.row)
    const asked = channelOf(found)
    const channel = asked instanceof Promise ? await asked : asked
    if (rail === undefined || channel === undefined) return { status: 410, reason: 'missing_channel' }
    const accepted = found.live?.standing.accepted
    // What is known to be too low costs no signature; and the highest that was accepted is known by the lane's secret.
    if (accepted !== undefined && voucher.max < accepted) return { status: 409, reason: 'stale', accepted }
    if (voucher.max === accepted) {
      const grown = await step(route, found, (one) => rail.grow(one))
      // Where a settlement has ended what was accepted the same is signed for anew, and has to be kept.
      if ('reason' in grown || grown.accepted >= voucher.max) return grown
    }
    const signed = channel.signed(voucher)
    const signature = signed instanceof Promise ? await signed : signed
    const { max } = voucher
    return signature === undefined ? undefined : step(route, found, (one) => rail.raise({ max, signature }, one, { opens: false }))
  }
  async function raiseNow(route: Route, found: Found, voucher: TickVoucher): Promise<Raised | undefined> {
    const raised = await judged(route, found, voucher)
    if (raised !== undefined) {
      const told = arrived(found, raised)
      if (told !== undefined) await told
    }
    return raised
  }
  async function raiseFirst(route: Route, found: Found, { line, voucher }: { line: Line; voucher: TickVoucher }): Promise<Raised> {
    const waiting: Waiting[] = []
    line.waiting = waiting
    try {
      return (await raiseNow(route, found, voucher)) ?? unsigned(base.railOf(found.row))
    } finally {
      if (waiting.length === 0) line.waiting = undefined
      else void raiseWaiting(route, found, { line, waiting })
    }
  }
  /** Those that waited, the highest first: where that is not signed, the next. */
  async function raiseWaiting(route: Route, found: Found, { line, waiting }: { line: Line; waiting: Waiting[] }): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting.splice(0).sort((a, b) => (a.voucher.max > b.voucher.max ? -1 : 1))
      try {
        for (let highest = group[0]; highest !== undefined; highest = group[0]) {
          const raised = await raiseNow(route, found, highest.voucher)
          const speaksFor = raised === undefined ? group.splice(0, 1) : group.splice(0)
          for (const { answer } of speaksFor) answer(raised ?? unsigned(base.railOf(found.row)))
        }
      } catch (error) {
        for (const { fail } of group) fail(error)
      }
    }
    line.waiting = undefined
  }

  return {
    isInTime(id, ticksPerSecond) {
      const line = lineOf(id)
      const second = Math.floor(base.monotonic() / 1000)
      line.count = line.second === second ? line.count + 1 : 1
      line.second = second
      return line.count <= ticksPerSecond
    },
    raise(route, found, voucher) {
      const line = lineOf(found.id)
      const { waiting } = line
      if (waiting === undefined) return raiseFirst(route, found, { line, voucher })
      if (waiting.length >= mostWaiting) return Promise.resolve({ status: 429, reason: 'busy' })
      return new Promise((answer, fail) => waiting.push({ voucher, answer, fail }))
    },
    channelOf,
    step,
    arrived,
  }
}

/** What a voucher is refused for that its channel's key did not sign. */
export function unsigned(rail: Rail | undefined): LaneRefusal {
  return { status: 402, reason: rail?.unsigned ?? 'invalid_payload' }
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  const [oldest] = map.keys()
  if (map.size >= mostKnown && oldest !== undefined) map.delete(oldest)
  map.set(key, value)
}
