import { isX402Error, type X402Error } from '@flow402x/core'
import {
  costOf,
  greater,
  type LaneClosed,
  lesser,
  readStaleAnswer,
  readTickAnswer,
  type StreamTerms,
  type StreamVoucher,
  type StreamWallet,
  type Units,
  type WalletLane,
  writeMessage,
} from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import { tellLane } from './words.ts'

/** What pays for a stream while it flows. Amounts are atomic, of the lane alone. */
export interface Till {
  /** So much may be delivered by what was signed. */
  signed(): bigint
  /** All that was ever signed for whom it pays: more was delivered by no honest count. */
  ceiling(): bigint
  /**
   * Pays on for what was received, if that is worth it, and so that at least `ahead` lies ahead, for what comes as a whole or not at all; one
   * payment is under way at a time.
   */
  advance(received: Units, ahead?: Units): Promise<void>
  /** Why nothing more is paid; nothing while all is well, or where the agreed end is reached. */
  trouble(): X402Error | undefined
  /** Whether all was paid that is to be paid. */
  isDone(): boolean
  /** Lets `most` (atomic) be signed for in all, from here on. */
  allow(most: bigint): void
  /** What brings the lane back: the headers of the request that reopens it. */
  ticket(): Readonly<Record<string, string>>
  /** The stream is over: so much of it was used, of which no more than `most` can have come here; `charged` as its server says of the channel. */
  close(used: bigint, ended: { readonly most: bigint } & LaneClosed): Promise<void>
}

/** How a till is made. `most`: the most (atomic) that is ever signed for the stream. */
export type TillOptions = {
  readonly wallet: StreamWallet
  readonly url: string
  readonly sid: string
  readonly tickUrl: string
  readonly terms: StreamTerms
  readonly window: Units
  readonly most: bigint | undefined
  readonly now: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** How a voucher travels; by a POST to `tickUrl` unless told. */
  readonly carry?: ((voucher: StreamVoucher) => void) | undefined
}

const cleanMs = 60_000
const mostTries = 5
const reserveWindows = 30n

/** Pays by a sliding voucher (grade B): never more than was received and one window, which doubles for each minute without trouble. */
export function slidingTill(lane: WalletLane, options: TillOptions): Till {
  const { wallet, url, sid, tickUrl, terms, now, sleep } = options
  const { rate, tick, windowMax } = terms
  const forLane = named(tickUrl, sid)
  let [window, most, cleanSince, seq] = [options.window, options.most, now(), 0]
  let latest: Step = { received: 0n, ahead: 0n }
  // The stream goes on while a deposit comes in.
  let [trouble, under, filling]: [X402Error?, Promise<void>?, Promise<boolean>?] = []

  const signed = (): bigint => lane.standing().used + lane.standing().credit
  const ahead = (used: bigint, least = 0n): bigint => {
    const whole = greater(costOf(rate, window), least)
    return most === undefined ? whole : lesser(most - used, whole)
  }

  /** Pays for what came, and for what came meanwhile: the last chunk before a gate shuts has no other after it. */
  async function catchUp(): Promise<void> {
    try {
      for (let paid: Step | undefined; trouble === undefined && isMore(latest, paid); ) {
        paid = latest
        await pay(paid)
      }
    } catch (error) {
      if (!isX402Error(error)) throw error
      trouble = error
    }
  }

  /** Trust grows with every minute in which nothing was amiss (streaming.md §2). */
  function trust(isClean: boolean): void {
    if (!isClean) [window, cleanSince] = [options.window, now()]
    else if (now() - cleanSince >= cleanMs && window < windowMax) {
      window = lesser(window * 2n, windowMax)
      cleanSince = now()
    }
  }

  async function pay({ received, ahead: next }: Step): Promise<void> {
    const used = costOf(rate, received)
    trust(true)
    const needed = costOf(rate, received + next) - used
    const reach = ahead(used, needed)
    const isWorthIt = signed() < used + needed || (most !== undefined && used + reach >= most)
    const voucher = await slide({ used, window: reach, least: isWorthIt ? 1n : costOf(rate, greater(tick, window / 2n)) })
    if (voucher === undefined) return
    if (options.carry === undefined) await send(voucher, received)
    else options.carry(voucher)
    const [reserve, rest] = [reserveWindows * costOf(rate, options.window), most === undefined ? undefined : most - signed()]
    const least = rest === undefined ? reserve : lesser(rest, reserve)
    if (least <= 0n) return
    filling ??= lane
      .topUp(forLane, least)
      .catch(ignored)
      .finally(() => {
        filling = undefined
      })
  }

  /** Signs a step, with a deposit before it where it needs one; where none can be had it signs for what is left of the channel. */
  async function slide(step: { used: bigint; window: bigint; least: bigint }): Promise<StreamVoucher | undefined> {
    try {
      return await lane.slide(step)
    } catch (error) {
      if (!isX402Error(error, 'evm/channel-empty')) throw error
      if (await (filling ?? lane.topUp(forLane, step.window).catch(ignored))) return await lane.slide(step)
      const rest = signed() + (await lane.room()) - step.used
      const last = rest <= 0n ? undefined : await lane.slide({ ...step, window: lesser(step.window, rest), least: 1n })
      if (last === undefined) throw error
      return last
    }
  }

  async function send(voucher: StreamVoucher, received: Units): Promise<void> {
    seq += 1
    let current = voucher
    for (let tries = 1; ; tries++) {
      const body = writeMessage({ sid, seq, voucher: current, seen: { units: received } })
      const response = await wallet
        .send(tickUrl, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
        .catch(() => undefined)
      const { status = 503 } = response ?? {}
      const text = (await response?.text().catch(() => '')) ?? ''
      if (status === 200) return believe(text)
      trust(false)
      if (tries >= mostTries) throw refused(status, text)
      if (status === 409) current = await above(text, current)
      else if (status === 429 || status === 503) await sleep(retryAfter(response) ?? 100 * 2 ** tries)
      else if (status !== 402) throw refused(status, text)
      else {
        // Some rails' settlements end what was signed before; else there is too little in the channel.
        const anew = await lane.renew()
        if (anew === undefined && !(await lane.topUp(forLane, ahead(lane.standing().used)))) throw refused(status, text)
        current = anew ?? current
      }
    }
  }

  /** A server that counts more than was signed for is told nothing more. */
  function believe(text: string): void {
    const answer = readTickAnswer(text)
    if (answer !== undefined && answer.charged > answer.accepted)
      throw readerErrors('stream/overcharged', { url, said: answer.charged, signed: answer.accepted })
  }

  /** A later voucher was faster: only what the books themselves have signed may be passed over. */
  async function above(text: string, { maxClaimableAmount }: StreamVoucher): Promise<StreamVoucher> {
    const accepted = readStaleAnswer(text)
    const { used, max } = lane.standing()
    if (accepted === undefined || accepted < maxClaimableAmount) throw refused(409, text)
    const next = await lane.slide({ used, window: signed() - used + 1n, least: 1n })
    if (next === undefined || next.maxClaimableAmount <= accepted)
      throw readerErrors('stream/overcharged', { url, said: accepted, signed: max })
    return next
  }

  function refused(status: number, text: string): X402Error {
    if (status === 404 || status === 410) return readerErrors('stream/lane-over', { url, status })
    return readerErrors('stream/tick-refused', { url, status, why: text === '' ? '' : `: ${text.slice(0, 200)}` })
  }

  /** Where a chain pays a voucher exactly, one for what was delivered is left behind (streaming.md §3.4): never for more than came. */
  async function conclude(received: bigint): Promise<void> {
    let most: bigint | undefined
    for (let tries = 1; tries <= mostTries; tries++) {
      const final = await lane.final({ received, most })
      if (final === undefined) return
      const { response, text } = await tellLane({ wallet, tickUrl, sid }, 'close', final)
      const { status = 503 } = response ?? {}
      const counted = status === 409 ? readStaleAnswer(text) : undefined
      if (counted !== undefined && counted < final.maxClaimableAmount) most = counted
      else if (status === 429 || status === 503) await sleep(retryAfter(response) ?? 100 * 2 ** tries)
      // A settlement may have ended what it was signed upon: it is signed anew.
      else if (status !== 402) return
    }
  }

  return {
    signed,
    ceiling: () => lane.standing().max,
    advance(received, next = 0n) {
      latest = { received, ahead: next }
      under ??= catchUp().finally(() => {
        under = undefined
      })
      return under
    },
    trouble: () => trouble,
    isDone: () => most !== undefined && signed() >= most,
    allow(next) {
      most = next
    },
    ticket: () => ({ 'PAYMENT-SIGNATURE': lane.header() }),
    async close(used, { most, charged }) {
      await Promise.all([under, filling])
      await lane.close(used, { charged })
      await conclude(most).catch(ignored)
    },
  }
}

/** Buys window after window (grade A), as any x402 client does: each is one payment of its wallet, whatever the scheme. */
export function windowTill({ wallet, url, sid, tickUrl, terms, ...limits }: TillOptions): Till {
  const { rate, buy, tick } = terms
  let { most } = limits
  const price = costOf(rate, buy)
  const forLane = named(tickUrl, sid)
  let bought = price
  let trouble: X402Error | undefined
  let under: Promise<void> | undefined

  async function pay(): Promise<void> {
    const response = await wallet.fetch(forLane, { method: 'POST' })
    await response.body?.cancel()
    if (response.status === 404 || response.status === 410) throw readerErrors('stream/lane-over', { url, status: response.status })
    if (!response.ok) throw readerErrors('stream/tick-refused', { url, status: response.status, why: '' })
    bought += price
  }

  return {
    signed: () => bought,
    ceiling: () => bought,
    async advance(received) {
      const isLow = bought - costOf(rate, received) <= costOf(rate, tick)
      if (trouble !== undefined || !isLow || (most !== undefined && bought + price > most)) return
      if (under !== undefined) return await under
      under = pay()
        .catch((error: unknown) => {
          if (!isX402Error(error)) throw error
          trouble = error
        })
        .finally(() => {
          under = undefined
        })
      await under
    },
    trouble: () => trouble,
    isDone: () => most !== undefined && bought + price > most,
    allow(next) {
      most = next
    },
    ticket: () => ({}),
    async close() {
      await under
    },
  }
}

type Step = { readonly received: Units; readonly ahead: Units }

function isMore({ received, ahead }: Step, paid: Step | undefined): boolean {
  return paid === undefined || received > paid.received || ahead > paid.ahead
}

/** A payment by itself names its lane in the URL (M2). */
function named(tickUrl: string, sid: string): string {
  const target = new URL(tickUrl)
  target.searchParams.set('sid', sid)
  return target.href
}

function retryAfter(response: Response | undefined): number | undefined {
  const text = response?.headers.get('Retry-After') ?? ''
  return /^\d{1,3}$/.test(text) ? Number(text) * 1000 : undefined
}

// A channel that could not be filled now is filled later, or runs out and says so.
function ignored(error: unknown): boolean {
  if (!isX402Error(error)) throw error
  return false
}
