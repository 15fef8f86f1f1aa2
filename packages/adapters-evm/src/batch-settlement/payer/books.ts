import {
  adoptPosition,
  type Channel,
  type ChannelBook,
  type ChannelFunds,
  endStretch,
  type Filling,
  isX402Error,
  learnPayerFunds,
  type Signing,
  signStretch,
  usableFunds,
} from '@flow402x/core'
import type { CallResult, Target } from '../../chain/abi.ts'
import type { Rpc } from '../../chain/rpc.ts'
import { type Hex, toHex } from '../../crypto/bytes.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { stateCalls, stateIn } from '../calls.ts'
import type { DepositRules } from './caps.ts'
import { signFilling } from './deposit.ts'
import { channelErrors } from './errors.ts'
import type { ChannelOffer } from './offer.ts'

/** A way to look at one network: an `evmChain` is one. */
export type ChannelReader = {
  readonly network: string
  readonly rpc: Rpc
  read(calls: readonly Target[], options?: { readonly signal?: AbortSignal | undefined }): Promise<readonly CallResult[]>
}

/** What the books of a payer are kept with. */
export type PayerDesk = {
  readonly book: ChannelBook
  readonly rules: DepositRules
  readonly signer: EvmSigner
  readonly chainOf: (network: string) => ChannelReader | undefined
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  /** Unix milliseconds. */
  readonly clock: () => number
  /** Channels whose receiver was seen to take one payment at a time. */
  readonly oneByOne: Set<string>
}

/** A stretch that is taken, and the deposit that goes along with it: `isNew` where nobody has seen its signature yet. */
export type Drawing = Signing & { readonly id: string; readonly filling?: Filling; readonly isNew?: boolean }

/** How a stretch is drawn. `until`: the time by the seller's clock up to which a deposit is good (Unix seconds); `offered`: the 402's extensions. */
export type DrawOptions = {
  readonly until: number
  readonly offered?: Readonly<Record<string, unknown>> | null | undefined
  readonly signal?: AbortSignal | undefined
  /** Changes the row before a stretch is taken, once; throws where nothing may be signed. */
  readonly first?: ((channel: Channel) => Channel) | undefined
}

// For how long a payment is believed to be under way: after that, others no longer wait for it, and it counts as spent.
const leaseMs = 30_000
// A deposit must still be good when it arrives.
const arrivalMs = 70_000
const pollMs = 40
// With less than so many prices left, the next deposit goes along, so that no later call has to wait for it.
const lowPrices = 2n

/**
 * Takes the next stretch of an offer's channel, with a deposit where it is needed or soon will be. It waits while others bring one, and
 * where the receiver takes one payment at a time.
 *
 * Errors: `evm/deposit-cap`, `evm/no-exit`, `evm/channel-busy`, those of signing a deposit and of the chain.
 */
export async function draw(desk: PayerDesk, offer: ChannelOffer, { until, offered, signal, first }: DrawOptions): Promise<Drawing> {
  const { book, clock, random, oneByOne } = desk
  const deadline = clock() + leaseMs
  let fresh: Omit<Filling, 'by'> | undefined
  let isFresh = false
  let before = first
  for (;;) {
    signal?.throwIfAborted()
    const id = toHex(random(new Uint8Array(16))).slice(2)
    const adjust = before
    const taken = await book.change(offer.id, (standing) => {
      const channel = adjust?.(standing) ?? standing
      return take(channel, { id, amount: offer.amount, now: clock(), fresh, isAlone: oneByOne.has(offer.id), isSettled: isFresh })
    })
    before = undefined
    if (taken === undefined) throw channelErrors('evm/no-channel', { channelId: offer.id })
    if ('stretch' in taken) {
      const { stretch, filling } = taken
      const isNew = filling !== undefined && filling.authorization === fresh?.authorization
      const drawing = { ...stretch, id, isNew, ...(filling && { filling }) }
      if (!isNew || (await desk.rules.holds(offer))) return drawing
      await undo(desk, offer.id, drawing)
      throw await desk.rules.overCap(offer, filling.amount)
    }
    if ('fill' in taken) {
      fresh = await prepareFilling(desk, offer, { ...taken, until, offered, signal })
      isFresh = true
    } else {
      if (clock() > deadline) throw channelErrors('evm/channel-busy', { channelId: offer.id })
      await pause(pollMs, signal)
    }
  }
}

type Taking = {
  readonly id: string
  readonly amount: bigint
  readonly now: number
  readonly fresh: Omit<Filling, 'by'> | undefined
  /** Whether a deposit was thought about already: then none is made that is not needed. */
  readonly isSettled: boolean
  readonly isAlone: boolean
}

type Taken =
  | { readonly stretch: Signing; readonly filling?: Filling }
  | { readonly fill: Channel; readonly fits: boolean }
  | { readonly wait: true }

function take(channel: Channel, { id, amount, now, fresh, isAlone, isSettled }: Taking): { channel: Channel; result: Taken } {
  const isLive = (hold: string) => channel.held.some((one) => one.id === hold && one.until > now)
  const wait = { channel, result: { wait: true } } as const
  if (isAlone && channel.held.some(({ until }) => until > now)) return wait
  const until = now + leaseMs
  const plain = signStretch(channel, { id, amount, now, until })
  const alone = typeof plain.result === 'string' ? undefined : { channel: plain.channel, result: { stretch: plain.result } }
  if (alone !== undefined && usableFunds(plain.channel) - alone.result.stretch.to >= lowPrices * amount) return alone
  if (alone === undefined && plain.result !== 'beyond') return wait
  const { filling: standing, ...bare } = channel
  const isGood = standing !== undefined && standing.until - arrivalMs > now
  if (isGood && isLive(standing.by)) return alone ?? wait
  const filling = isGood ? { ...standing, by: id } : fresh && { ...fresh, by: id }
  if (filling === undefined)
    return isSettled && alone !== undefined ? alone : { channel, result: { fill: channel, fits: alone !== undefined } }
  const { channel: next, result } = signStretch(bare, { id, amount, now, until, filling })
  if (typeof result !== 'string') return { channel: { ...next, filling }, result: { stretch: result, filling } }
  // What is on the way is not enough: it has to land before there is another.
  return alone ?? wait
}

type FillOptions = Pick<DrawOptions, 'until' | 'offered' | 'signal'> & { readonly fill: Channel; readonly fits: boolean }

/** Signs a deposit of the size that the rules give; nothing where the payment fits without one. Errors: those of `draw`. */
export async function prepareFilling(
  { rules, signer, random, chainOf }: PayerDesk,
  offer: ChannelOffer,
  { fill, fits, until, offered, signal }: FillOptions,
): Promise<Omit<Filling, 'by'> | undefined> {
  const chain = chainOf(offer.network)
  if (fill.funds.withdrawing > 0n && !fits) throw channelErrors('evm/channel-closing', { channelId: offer.id })
  try {
    const amount = await rules.size(offer, fill, { signal })
    if (amount === undefined) return undefined
    return await signFilling(offer, amount, { signer, random, until: BigInt(until), chain, offered, signal })
  } catch (error) {
    // Without a deposit this call can be paid all the same.
    if (fits && isX402Error(error)) return undefined
    throw error
  }
}

/** Gives a stretch back that nobody has seen a signature for, and a deposit that was made for it. */
export async function undo({ book, clock }: PayerDesk, channelId: string, { id, isNew }: Drawing): Promise<void> {
  await book.change(channelId, (channel) => {
    const { channel: next } = endStretch(channel, { id, used: 0n, signature: '', now: clock() })
    if (isNew !== true || next.filling?.by !== id) return { channel: next, result: undefined }
    const { filling: _, ...rest } = next
    return { channel: rest, result: undefined }
  })
}

/** The row of an offer's channel, written down where there is none: as the chain has it where that can be asked, else as a new one. */
export async function openRow(
  desk: PayerDesk,
  offer: ChannelOffer,
  { asked, signal }: { readonly asked?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<Channel> {
  const { id, network, config } = offer
  const found = await desk.book.find(id)
  if (found !== undefined) return found
  const funds = (await readFunds(desk, offer, signal)) ?? unknownFunds
  const row = { id, network, config: { ...config, ...(asked === undefined ? {} : { asked }) }, funds, refunding: 0n }
  return await desk.book.open({ ...row, charged: funds.claimed, top: funds.claimed, held: [], free: [] })
}

const unknownFunds: ChannelFunds = { balance: 0n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 0 }

/** What the chain says of a channel now; nothing where there is no way to ask. Errors: `evm/rpc`, `evm/call-failed`. */
export async function readFunds(
  { chainOf, clock }: Pick<PayerDesk, 'chainOf' | 'clock'>,
  { id, network }: { readonly id: Hex; readonly network: string },
  signal: AbortSignal | undefined,
): Promise<ChannelFunds | undefined> {
  const chain = chainOf(network)
  const state = chain && stateIn(await chain.read(stateCalls(id), { signal }))
  if (state === undefined) return undefined
  const { balance, totalClaimed: claimed, withdrawing, withdrawRequestedAt: withdrawalAt, refundNonce } = state
  return { balance, claimed, withdrawing, withdrawalAt, refundNonce, readAt: clock() }
}

/** Looks at the chain until it shows what `isSeen` waits for, at most two seconds (H30), and writes that down. */
export async function learnWhen(
  desk: Pick<PayerDesk, 'book' | 'chainOf' | 'clock'>,
  at: { readonly id: Hex; readonly network: string },
  { isSeen, signal }: { readonly isSeen: (funds: ChannelFunds) => boolean; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  for (let waited = 0; waited <= 2000; waited += 150) {
    const funds = await readFunds(desk, at, signal)
    if (funds === undefined) return false
    if (isSeen(funds)) {
      await desk.book.change(at.id, (channel) => ({ channel: learnPayerFunds(channel, funds), result: undefined }))
      return true
    }
    await pause(150, signal)
  }
  return false
}

/** Goes on from a receiver's position, for a payment that it did not take. */
export function release(channel: Channel, { id, position, now }: { id: string; position?: bigint | undefined; now: number }): Channel {
  const { channel: next } = endStretch(channel, { id, used: 0n, signature: '', now })
  return position === undefined ? next : adoptPosition(next, { position })
}

/** Waits, or throws the signal's reason. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    function stop() {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}
