import { isX402Error } from '@flow402x/core'
import { costOf, greater, laneHeader, paymentStreamHeader, type StreamParams, type StreamTerms, type Units } from '@flow402x/core/stream'
import { readerErrors } from '../client/errors.ts'
import { memoryPasses } from '../client/pass-store.ts'
import { keepPasses } from '../client/passes.ts'
import { type PayStreamOptions, planOf } from '../client/pay-stream.ts'
import { slidingTill } from '../client/till.ts'
import { createLengths } from './lengths.ts'
import { createPace, type Pace } from './pace.ts'
import { type Asked, createPartLane, type LaneBill, type Part, type PartLane, whole } from './part-lane.ts'

/** What a programme is paid with. */
export type BuyerOptions = Pick<PayStreamOptions, 'wallet' | 'window' | 'budget' | 'now' | 'sleep'> & {
  /**
   * How much faster than time passes the seconds of a programme are bought, beyond the seller's largest window; as fast as they are asked for
   * unless given. A playlist that says that its segments are longer than they are is paid no more than that.
   */
  readonly speed?: number
  /** Where access for a time is sold, where an edge lets in by passes and names no price: it is bought when that answers 402. */
  readonly access?: string | URL
  /** By which passes end; Unix milliseconds. */
  readonly clock?: () => number
}

/** What a programme came to over lanes, in atomic units: what its sellers say that was used, and what was signed for in all. */
export type ProgrammeReceipt = Pick<LaneBill, 'consumed' | 'signed'>

/** Gets the parts of a programme, and pays for those that ask for money over one lane for each route that sells some. */
export interface PartBuyer {
  /** Errors: `stream/…`, `client/…`, what `fetch` throws. */
  get(asked: Asked): Promise<Part>
  /** Ends its lanes; nothing is bought after that. */
  close(): Promise<ProgrammeReceipt>
}

/** How a route is paid: over a lane, or each part by itself, as any x402 client does. */
type Way = PartLane | 'each'

// Lanes end where nobody asks for long; a seller who ends each after one part, or lets nobody in, is left.
const mostRounds = 4
// So much of a window of access may have passed before its answer was here, in milliseconds.
const travel = 1000

/** A buyer that has no lanes yet. Errors: `stream/bad-option`. */
export function createBuyer({ access, clock = Date.now, ...options }: BuyerOptions): PartBuyer {
  const { wallet, now = () => performance.now() } = options
  const door = access === undefined ? undefined : new URL(access, globalThis.location?.href).href
  const store = memoryPasses()
  const [send, pay] = [keepPasses({ store, now: clock, fetch: wallet.send }), keepPasses({ store, now: clock, fetch: wallet.fetch })]
  const lengths = createLengths()
  const pace = options.speed === undefined ? undefined : createPace(options.speed, now)
  const ways = new Map<string, Promise<Way>>()
  // The route that sells what lies in a folder.
  const routes = new Map<string, string>()
  const left = new Map<PartLane, Promise<LaneBill>>()
  // What sellers of lanes that ended say that came, beyond what did.
  let overpaid = 0n
  let [enteredAt, until] = [0, 0]
  let entering: Promise<void> | undefined
  let isOver = false

  async function get(asked: Asked): Promise<Part> {
    const { url, init } = asked
    for (let rounds = 0; rounds < mostRounds && !isOver; rounds++) {
      const route = routes.get(folderOf(url)) ?? ''
      const way = await ways.get(route)
      if (way === 'each') return learn(await whole(await pay(url, init)), url)
      const taken = way === undefined ? undefined : await takeOver(way, asked, route)
      if (taken !== undefined) return learn(taken, url)
      const sentAt = now()
      const response = await send(url, init)
      if (response.status !== 402) return learn(await whole(response), url)
      await response.body?.cancel()
      const paid = door === undefined || url === door ? await open(asked, response) : await enter(door, { url, sentAt })
      if (paid !== undefined) return learn(paid, url)
    }
    throw readerErrors('stream/part-refused', { url })
  }

  /** A part over a lane, which is left where it gives none. */
  async function takeOver(lane: PartLane, asked: Asked, route: string): Promise<Part | undefined> {
    try {
      const part = await lane.take(asked)
      if (part === undefined) await leave(route, lane)
      return part
    } catch (error) {
      if (isX402Error(error, 'stream/part-refused')) await leave(route, lane)
      throw error
    }
  }

  /** Opens the lane of the route that asked, unless it is open; the part itself where that is paid without one. */
  async function open(asked: Asked, response: Response): Promise<Part | undefined> {
    const at = response.url === '' ? asked.url : response.url
    const route = new URL(said(response)?.['tick-url'] ?? at, at).href
    routes.set(folderOf(asked.url), route)
    if (ways.has(route)) return undefined
    const opening = openLane(asked, { ...options, now, overpaid, unitsOf: lengths.of, get: send, pace })
    const way = opening.then((opened): Way => ('take' in opened ? opened : 'each'))
    ways.set(route, way)
    // Who opens it is told why it did not open, and who waits for it tries by himself.
    way.catch(() => ways.delete(route))
    const opened = await opening
    return 'take' in opened ? undefined : await whole(opened)
  }

  /** Buys access to all of it. Who has paid for the very moment in which he asked pays nothing more. */
  async function enter(place: string, { url, sentAt }: { readonly url: string; readonly sentAt: number }): Promise<undefined> {
    if (sentAt < enteredAt) return
    if (sentAt < until) throw readerErrors('stream/part-refused', { url })
    entering ??= buyAccess(place).finally(() => {
      entering = undefined
    })
    await entering
  }

  async function buyAccess(place: string): Promise<void> {
    const { response } = await get({ url: place, init: {} })
    if (!response.ok) throw readerErrors('stream/not-open', { url: place, status: response.status, why: 'it sold no access' })
    enteredAt = now()
    until = enteredAt + (said(response)?.ttl ?? 0) * 1000 - travel
  }

  async function leave(route: string, way: PartLane): Promise<void> {
    if (left.has(way)) return
    const closing = way.close()
    left.set(way, closing)
    ways.delete(route)
    const { consumed, counted } = await closing
    if (consumed > counted) overpaid += consumed - counted
  }

  function learn(part: Part, url: string): Part {
    const { response, data } = part
    const at = response.url === '' ? url : response.url
    if (response.ok) lengths.learn(at, data)
    return part
  }

  return {
    get,
    async close() {
      isOver = true
      for (const [route, way] of ways) {
        const open = await way.catch(() => undefined)
        if (open !== undefined && open !== 'each') await leave(route, open)
      }
      const bills = await Promise.all(left.values())
      const sum = (of: (bill: LaneBill) => bigint) => bills.reduce((all, one) => all + of(one), 0n)
      return { consumed: sum(({ consumed }) => consumed), signed: sum(({ signed }) => signed) }
    },
  }
}

type Opening = Omit<BuyerOptions, 'access' | 'clock'> & {
  readonly now: () => number
  readonly overpaid: bigint
  readonly unitsOf: (url: string, unit: string) => Units | undefined
  readonly get: typeof fetch
  readonly pace: Pace | undefined
}

/**
 * A lane that is opened at the tick URL of what was asked for, so that parts are asked for when they are paid; an answer where there is none.
 * Who breaks off loading a part breaks off no lane of others.
 */
async function openLane(
  { url, init: { signal: _, ...init } }: Asked,
  { wallet, now, sleep = wait, overpaid, unitsOf, get, pace, ...limits }: Opening,
): Promise<PartLane | Response> {
  const { plan, window } = planOf(limits)
  const ahead = (terms: StreamTerms): Units => {
    const [usual, part] = [window(terms), unitsOf(url, terms.unit) ?? 0n]
    // Who signed for what is never bought would lose that.
    if (overpaid > costOf(terms.rate, usual) || part > terms.windowMax) throw readerErrors('stream/part-refused', { url })
    return greater(usual, part)
  }
  const opened = await wallet.open(url, init, { window: ahead, atTick: true })
  const { response, lane, terms } = opened
  const paid = plan(opened)
  if (lane === undefined || terms === undefined || paid === undefined) return response
  await response.body?.cancel()
  const sid = response.ok ? said(response)?.sid : undefined
  const bearer = response.headers.get(laneHeader.name)
  if (sid === undefined || bearer === null) {
    await lane.close(0n)
    throw readerErrors('stream/not-open', { url, status: response.status, why: 'its tick URL opened no lane' })
  }
  const ear = { wallet, url: opened.url, tickUrl: new URL(terms.tickUrl, opened.url).href, sid }
  const till = slidingTill(lane, { ...paid, ...ear, now, sleep })
  const lengthOf = (part: string): Units | undefined => unitsOf(part, terms.unit)
  return createPartLane({ till, ear, bearer, terms, window: paid.window, unitsOf: lengthOf, get, pace, sleep })
}

function said({ headers }: Response): StreamParams | undefined {
  const text = headers.get(paymentStreamHeader.name)
  return text === null ? undefined : paymentStreamHeader.decode(text)
}

/** What lies beside a part is sold by the same route. */
function folderOf(url: string): string {
  return new URL('.', url).href
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
