import { isX402Error } from '@flow402x/core'
import { costOf, laneHeader, paymentRemainingHeader, type StreamTerms, type Units } from '@flow402x/core/stream'
import { readerErrors } from '../client/errors.ts'
import type { Till } from '../client/till.ts'
import { closeLane, type Ear } from '../client/words.ts'
import type { Pace } from './pace.ts'

/** What is asked for. */
export type Asked = { readonly url: string; readonly init: RequestInit }

/** What came of it: all of its bytes, of which the first came at `at` (ms of `performance.now()`). */
export type Part = { readonly response: Response; readonly data: ArrayBuffer; readonly at: number }

/** What a lane came to, in atomic units: what its seller says that was used, what came by this side's count, and what was signed for. */
export type LaneBill = { readonly consumed: bigint; readonly counted: bigint; readonly signed: bigint }

/** A lane over which parts are bought, each as a whole or not at all. */
export interface PartLane {
  /** A part, paid where it was not; nothing where the lane is over, or its seller counts more than what came. */
  take(asked: Asked): Promise<Part | undefined>
  close(): Promise<LaneBill>
}

/** How parts are bought: `window` is what lies ahead between them, `unitsOf` what a part is said to be, and `get` brings it. */
export type PartLaneOptions = {
  readonly till: Till
  readonly ear: Ear
  /** What `Flow402x-Lane` says of the lane. */
  readonly bearer: string
  readonly terms: StreamTerms
  readonly window: Units
  readonly unitsOf: (url: string) => Units | undefined
  readonly get: (url: string, init: RequestInit) => Promise<Response>
  /** How fast its seconds are bought. */
  readonly pace?: Pace | undefined
  readonly sleep: (ms: number) => Promise<void>
}

/**
 * Signs for a part before it is asked for, and counts it when it came: what is signed beyond that is a window, or the parts that are under
 * way where those are more, and never more than the largest window. A part of unknown length is tried window by window, and counts as what
 * was tried; one that its asker breaks off counts as well, since it may have been sent.
 */
export function createPartLane({ till, ear, bearer, terms, window, unitsOf, get, pace, sleep }: PartLaneOptions): PartLane {
  const { rate, windowMax } = terms
  const had = new Set<string>()
  const under = new Set<Promise<unknown>>()
  let [received, promised] = [0n, 0n]
  let closing: Promise<LaneBill> | undefined

  async function attempt(asked: Asked, need: Units): Promise<Part | 'more' | 'over'> {
    const { url, init } = asked
    await till.advance(received, promised)
    const trouble = till.trouble()
    if (isX402Error(trouble, 'stream/lane-over')) return 'over'
    if (trouble !== undefined) throw trouble
    if (till.signed() < costOf(rate, received + promised)) throw readerErrors('stream/spent', { url, signed: till.signed() })
    init.signal?.throwIfAborted()
    const headers = new Headers(init.headers)
    headers.set(laneHeader.name, bearer)
    const came = (): void => {
      received += need
      pace?.bought(need)
      had.add(nameOf(asked))
    }
    try {
      // Its bearer can draw on the lane: it goes to no other origin.
      const response = await get(url, { ...init, headers, redirect: 'error' })
      if (response.status === 402) {
        await response.body?.cancel()
        return response.headers.has(paymentRemainingHeader.name) ? 'more' : 'over'
      }
      const part = await whole(response)
      if (response.ok) came()
      return part
    } catch (error) {
      if (init.signal?.aborted) came()
      throw error
    }
  }

  /** Until a part may be bought, where its programme is bought no faster than it plays. */
  async function inTime(need: Units, signal: AbortSignal | null | undefined): Promise<void> {
    if (terms.unit !== 'second' || need === 0n) return
    for (let ms = 1; ms > 0; ) {
      ms = pace?.early(promised + need, windowMax) ?? 0
      if (ms > 0) await sleep(ms)
      signal?.throwIfAborted()
    }
  }

  /** For how many units a part is tried: what came once is had again. */
  function* triesFor(asked: Asked): Generator<Units> {
    const units = unitsOf(asked.url)
    if (had.has(nameOf(asked))) yield 0n
    if (units !== undefined) yield units
    else for (let most = window; most <= windowMax; most += window) yield most
  }

  async function close(): Promise<LaneBill> {
    const counted = costOf(rate, received)
    const consumed = await closeLane(ear, till, { counted: () => counted, most: () => counted })
    return { consumed, counted, signed: till.signed() }
  }

  return {
    async take(asked) {
      for (const need of triesFor(asked)) {
        while (promised > 0n && promised + need > windowMax) await Promise.race(under)
        if (need > windowMax) break
        await inTime(need, asked.init.signal)
        promised += need
        const trying = attempt(asked, need).finally(() => {
          promised -= need
        })
        const settled = trying.then(ignored, ignored).then(() => void under.delete(settled))
        under.add(settled)
        const came = await trying
        if (came === 'over') break
        if (came !== 'more') return came
      }
      // A seller whose lane never gave anything is asked for no other one.
      if (received === 0n) throw readerErrors('stream/part-refused', { url: asked.url })
      return undefined
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}

/** An answer with all that it holds. */
export async function whole(response: Response): Promise<Part> {
  const at = performance.now()
  return { response, data: await response.arrayBuffer(), at }
}

function nameOf({ url, init }: Asked): string {
  return `${url} ${new Headers(init.headers).get('Range') ?? ''}`
}

// How an attempt ended is its caller's matter.
function ignored(): void {}
