import {
  beforeClaim,
  bounded,
  type Changed,
  type Channel,
  cut,
  type FreeStretch,
  greater,
  type Hold,
  rowWith,
  type Stretch,
  shared,
  usableFunds,
  type Withheld,
  withDebt,
} from './channel.ts'

// So much work is under way at once.
const mostHeld = 64
// So often work is done again for a payer who had no answer: he may be one who hangs up each time, and wants the work alone (M9).
const mostAgain = 3
// For how long who was charged for an answer that may never have left can come for it (ms).
const longestAway = 3_600_000

/**
 * Takes the stretch of `amount` that ends at `max` for work under way, unless any of it is sold, held or beyond what is usable.
 * Holds whose time is over at `now` (Unix ms) are free again: their worker died, and the same voucher pays for another try. It does so
 * too where the worker died with the answer in its hands, and is not charged again. An answer that nobody had is made again for a
 * `request` of the same digest alone: what else is done is other work.
 */
export function takeStretch(
  channel: Channel,
  { id, max, amount, now, until, request }: { id: string; max: bigint; amount: bigint; now: number; until: number; request?: string },
): Changed<Withheld | undefined> {
  const current = withoutDead(channel, now)
  const wanted = { from: max - amount, to: max, now, request }
  const mine = { from: wanted.from, to: max, id, until }
  // Two holds of one name would end as each other.
  if (current.held.some((hold) => hold.id === id)) return { channel, result: 'held' }
  const away = lostAnswer(current, wanted)
  if (away !== undefined) {
    // He may ask for more than before, and the money may be gone meanwhile.
    const more = amount - (away.used ?? 0n)
    if (more > 0n && !covers(current, more)) return { channel, result: 'beyond' }
    const again = { ...mine, before: away.used ?? 0n, again: (away.again ?? 0) + 1 }
    return { channel: rowWith(current, { held: current.held.map((hold) => (hold === away ? again : hold)) }), result: undefined }
  }
  const withheld = reasonAgainst(current, wanted)
  if (withheld !== undefined) return { channel, result: withheld }
  const skipped = wanted.from > current.top ? [{ from: current.top, to: wanted.from }] : []
  const free = bounded([...current.free.flatMap((one) => cut(one, wanted)), ...skipped])
  const held = [...current.held, mine]
  return { channel: rowWith(current, { top: greater(current.top, max), free, held }), result: undefined }
}

/** Lets work go on until `until` (Unix ms). `false` where the hold is gone. */
export function extendStretch(channel: Channel, { id, until }: { id: string; until: number }): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined) return { channel, result: false }
  return { channel: rowWith(channel, { held: channel.held.map((one) => (one === hold ? { ...hold, until } : one)) }), result: true }
}

/**
 * Ends work: `used` of what it held is charged. Where that is nothing all of it is free again; else it stays held until `leaveStretch`,
 * so that nobody pays for what he never had. `false` where the hold is gone: then nothing may be delivered.
 */
export function finishStretch(
  channel: Channel,
  { id, used, signature, now }: { id: string; used: bigint; signature: string; now: number },
): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined || hold.used !== undefined || used > hold.to - hold.from || used < 0n) return { channel, result: false }
  const { from, to, until, before = 0n, again } = hold
  const others = channel.held.filter((one) => one !== hold)
  // Of what an earlier run charged nothing is given back that is claimed already, or will be: it stays what was paid for this work.
  const claimed = greater(channel.funds.claimed, channel.claiming ?? 0n)
  const paid = greater(used, before - (channel.charged - claimed))
  const charged = channel.charged + paid - before
  if (paid === 0n) {
    const isShown = to === channel.voucher?.max
    const free = bounded([...channel.free, { from, to, ...(isShown ? { spent: true as const } : {}) }])
    return { channel: withDebt(rowWith(channel, { charged, held: others, free }), now), result: true }
  }
  // Work that failed left nothing to have: the same voucher brings it again.
  const lasts = used === 0n ? now : until
  const done = { from, to, id, until: lasts, used: paid, ...(again !== undefined && { again }) }
  const voucher = to > (channel.voucher?.max ?? 0n) ? { max: to, signature } : channel.voucher
  return { channel: withDebt(rowWith(channel, { charged, held: [...others, done], voucher }), now), result: true }
}

/** What nobody had, as was seen `at` this time (Unix ms), and the digest of the request that it was for, if that is known. */
export type LostAnswer = { readonly at: number; readonly request?: string | undefined }

/**
 * The answer of work that was charged has left, and what it did not use is free again; or it is `lost`, and the same voucher has it made
 * once more.
 */
export function leaveStretch(channel: Channel, { id, lost }: { id: string; lost?: LostAnswer | undefined }): Changed<void> {
  const hold = channel.held.find((one) => one.id === id && one.used !== undefined)
  if (hold === undefined) return { channel, result: undefined }
  const others = channel.held.filter((one) => one !== hold)
  if (lost !== undefined) {
    const { at, request } = lost
    const waiting = { ...hold, until: at, ...(request !== undefined && { request }) }
    return { channel: rowWith(channel, { held: [...others, waiting] }), result: undefined }
  }
  return { channel: rowWith(channel, { held: others, free: bounded([...channel.free, ...restOf(hold)]) }), result: undefined }
}

/**
 * Sets `amount` aside that is to be given back to the payer (M27): what was set aside before for the same nonce of the escrow stands.
 * Nothing where work or a lane is under way or there is not so much. Work whose time is over ends with it, should its worker come back.
 */
export function setAside(channel: Channel, { amount, now }: { amount: bigint; now: number }): Changed<bigint | undefined> {
  if (channel.refunding > 0n) return { channel, result: channel.refunding }
  const current = withoutDead(channel, now)
  const isWorkedFor = current.lanes !== undefined || current.held.some(({ used }) => used === undefined)
  if (isWorkedFor || amount <= 0n || amount > current.funds.balance - current.charged) return { channel, result: undefined }
  return { channel: rowWith(beforeClaim(current), { refunding: amount }), result: amount }
}

function reasonAgainst(channel: Channel, wanted: Stretch & { readonly now: number }): Withheld | undefined {
  if (wanted.from < 0n || wanted.from >= wanted.to) return 'sold'
  if (wanted.to > usableFunds(channel) || !covers(channel, wanted.to - wanted.from)) return 'beyond'
  if (channel.held.some((hold) => hold.until > wanted.now && shared(hold, wanted) > 0n)) return 'held'
  const below = shared({ from: 0n, to: channel.top }, wanted)
  const covered = channel.free.reduce((sum, one) => sum + shared(one, wanted), 0n)
  const served = channel.free.some(({ to, spent }) => spent === true && to === wanted.to)
  if (covered < below || served) return 'sold'
  return channel.held.length >= mostHeld ? 'busy' : undefined
}

/**
 * What is left beside all that is charged and work under way. Who took money out may have less than his vouchers reach up to: then neither
 * what is free below them nor the credit of lanes is worth what it was.
 */
export function roomIn(channel: Channel): bigint {
  const working = channel.held.reduce((sum, { from, to, used, before = 0n }) => (used === undefined ? sum + to - from - before : sum), 0n)
  return usableFunds(channel) - channel.charged - working
}

/** Whether there is so much beside that and the credit of lanes. */
function covers(channel: Channel, more: bigint): boolean {
  const { lanes = [] } = channel
  return lanes.flatMap(({ credit }) => credit).reduce((room, { from, to }) => room - (to - from), roomIn(channel)) >= more
}

/** The hold of an answer that may never have left, for exactly this stretch; the voucher that claims show to everybody brings none (M26). */
function lostAnswer(
  { held, voucher, funds }: Channel,
  { from, to, now, request }: Stretch & { readonly now: number; readonly request: string | undefined },
): Hold | undefined {
  if (funds.claimed > 0n && to === voucher?.max) return undefined
  const isAway = ({ used, until, again = 0 }: Hold): boolean => used !== undefined && until <= now && again < mostAgain
  const isAsked = (hold: Hold): boolean => hold.request === undefined || hold.request === request
  return held.find((hold) => hold.from === from && hold.to === to && isAway(hold) && isAsked(hold))
}

function withoutDead(channel: Channel, now: number): Channel {
  if (!channel.held.some(({ until }) => until <= now)) return channel
  const [held, free]: [Hold[], FreeStretch[]] = [[], [...channel.free]]
  for (const hold of channel.held) {
    const { before, ...bare } = hold
    // What an earlier run charged stays charged where a later one died.
    const used = hold.used ?? before
    if (hold.until > now) held.push(hold)
    else if (used === undefined) free.push({ from: hold.from, to: hold.to })
    else if (hold.until + longestAway > now) held.push({ ...bare, used })
    else free.push(...restOf({ ...bare, used }))
  }
  return rowWith(channel, { held, free: bounded(free) })
}

/** What is left of a stretch of which `used` was charged. */
function restOf({ from, to, used = 0n }: Hold): FreeStretch[] {
  return from + used === to ? [] : [{ from: from + used, to, spent: true }]
}
