import {
  adoptPosition,
  type Changed,
  type Channel,
  type ChannelBook,
  type ClientScheme,
  type Correction,
  endStretch,
  type PaymentRequirements,
  type Prepared,
  type PrepareOptions,
  signStretch,
  unsignedFunds,
  type Withheld,
} from '@flow402x/core'
import {
  greater,
  type LaneAccount,
  type LanePayer,
  leaveLane,
  lesser,
  type Slid,
  type StreamVoucher,
  slideVoucher,
} from '@flow402x/core/stream'
import { bytesToHex } from '@noble/hashes/utils'
import * as z from 'zod/mini'
import { solanaErrors } from '../chain/errors.ts'

/** Upon what vouchers are signed: `nonce` is another once a settlement has ended those of before, and `settled` was paid until then. */
export type Ground = { readonly nonce: string; readonly settled: bigint }

/** A channel that can be signed for. */
export type OpenChannel<Terms> = { readonly id: string; readonly terms: Terms }

type Abortable = { readonly signal?: AbortSignal | undefined }
type Need = Abortable & { readonly need: bigint; readonly advised: bigint }

/** A scheme whose chain pays a voucher exactly, as its payer works with it. */
export interface ExactPayer<Terms> {
  readonly book: ChannelBook
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  /** Unix milliseconds. */
  readonly clock: () => number
  /** The channel that an offer is paid over, with at least `need` to sign for where it has to be opened. Errors: those of `fill`. */
  channelFor(requirements: PaymentRequirements, need: Need): Promise<OpenChannel<Terms>>
  /** Sees to it that `need` more can be signed for: more is put in, by a transaction of the payer's own. What is `advised` is followed up to the cap. */
  fill(channel: OpenChannel<Terms>, need: Need): Promise<void>
  /** Reads a channel and writes down where it stands, before anything is signed upon it; nothing for one that is not open. */
  sync(channel: OpenChannel<Terms>, options: Abortable): Promise<Channel | undefined>
  groundOf(row: Channel): Ground | undefined
  /** Signs for everything up to `max`: this template, and nothing else. Its signature as ticks have it. */
  sign(channel: OpenChannel<Terms>, voucher: { readonly max: bigint; readonly ground: Ground }): Promise<string>
  /** Whether a signature that the receiver shows is this payer's. */
  isOwn(
    channel: OpenChannel<Terms>,
    voucher: { readonly max: bigint; readonly signature: string; readonly ground: Ground },
  ): Promise<boolean>
  /** A voucher as a payment, and whose it is. */
  wire(channel: OpenChannel<Terms>, signed: SignedVoucher): { readonly payload: Prepared['payload']; readonly payer: string }
}

/** A voucher, and upon what it was signed. */
export type SignedVoucher = { readonly voucher: StreamVoucher; readonly ground: Ground }

// A lane whose process says nothing for so long is lost, and what was signed for it is spent; so is a window.
const laneMs = 120_000
const windowMs = 60_000
const monthSeconds = 30 * 86_400

type Step = { readonly used: bigint; readonly window: bigint; readonly least: bigint; readonly opens: boolean }
type Taken = { readonly slid: Slid; readonly ground: Ground } | 'beyond'

const depositAdvice = z.looseObject({ minDeposit: z.nullish(z.string().check(z.regex(/^\d{1,20}$/))) })

/** What an offer advises to put in; nothing where it says nothing. */
function advisedBy({ extra }: PaymentRequirements): bigint {
  return BigInt(z.safeParse(depositAdvice, extra).data?.minDeposit ?? 0n)
}

async function signed<Terms>(payer: ExactPayer<Terms>, channel: OpenChannel<Terms>, max: bigint, ground: Ground): Promise<SignedVoucher> {
  const signature = await payer.sign(channel, { max, ground })
  return { voucher: { channelId: channel.id, maxClaimableAmount: max, signature }, ground }
}

function prepared<Terms>(
  payer: ExactPayer<Terms>,
  channel: OpenChannel<Terms>,
  { of, id, now }: { of: SignedVoucher; id: string; now: number },
): Prepared {
  const { payload, payer: from } = payer.wire(channel, of)
  // It is dead as soon as it is settled past; until then no time ends it.
  return { payload, key: { id: `${channel.id}/${id}`, payer: from, deadAfter: Math.floor(now) + monthSeconds } }
}

/** Lanes of a payer over such channels: his voucher slides over books that all processes of his wallet share. */
export function exactLanes<Terms>(payer: ExactPayer<Terms>): LanePayer {
  return {
    async open(requirements, window, given) {
      const advised = advisedBy(requirements)
      const channel = await payer.channelFor(requirements, { need: window + 1n, advised, signal: given.signal })
      const lane = createLane(payer, { channel, advised })
      await lane.begin(window, given)
      return lane.account
    },
  }
}

type Lane = { readonly account: LaneAccount; begin(window: bigint, given: PrepareOptions): Promise<void> }

function createLane<Terms>(payer: ExactPayer<Terms>, { channel, advised }: { channel: OpenChannel<Terms>; advised: bigint }): Lane {
  const { book, clock } = payer
  const { id: channelId } = channel
  const id = bytesToHex(payer.random(new Uint8Array(16)))
  let standing: Slid = { max: 0n, used: 0n, credit: 0n, grown: 0n }
  let newest: SignedVoucher | undefined
  let opened: PrepareOptions | undefined
  let closed = 0n

  const take = async (step: Step): Promise<Taken> => {
    const taken = await book.change<Taken>(channelId, (row): Changed<Taken> => {
      const ground = payer.groundOf(row)
      const { channel: next, result } = slideVoucher(row, { ...step, id, now: clock(), until: clock() + laneMs })
      if (ground === undefined || result === 'beyond') return { channel: row, result: 'beyond' }
      if (typeof result === 'string') throw solanaErrors('solana/channel-busy', { channel: channelId })
      return { channel: next, result: { slid: result, ground } }
    })
    return taken ?? 'beyond'
  }

  /** Takes a step, with a deposit before it where it needs one. */
  async function stepOn(step: Step, signal: AbortSignal | undefined): Promise<Exclude<Taken, 'beyond'>> {
    const first = await take(step)
    if (first !== 'beyond') return first
    await payer.fill(channel, { need: step.window + 1n, advised, signal })
    const second = await take(step)
    if (second === 'beyond') throw solanaErrors('solana/channel-busy', { channel: channelId })
    return second
  }

  const sign = async (max: bigint, ground: Ground): Promise<StreamVoucher> => {
    newest = await signed(payer, channel, max, ground)
    return newest.voucher
  }

  async function begin(window: bigint, given: PrepareOptions): Promise<void> {
    opened = given
    // The chain is looked at before the first voucher of every lane.
    await payer.sync(channel, given)
    const { slid, ground } = await stepOn({ used: 0n, window, least: 0n, opens: true }, given.signal)
    standing = slid
    await sign(slid.max, ground)
  }

  /** Where a settlement ended what was signed, all of it is signed anew; nothing where it lives. */
  async function renew(signal?: AbortSignal): Promise<StreamVoucher | undefined> {
    const row = await payer.sync(channel, { signal })
    const ground = row && payer.groundOf(row)
    if (ground === undefined || ground.nonce === newest?.ground.nonce || standing.max <= ground.settled) return undefined
    return await sign(standing.max, ground)
  }

  async function correct({ requirements }: Correction, window: bigint, given: PrepareOptions): Promise<boolean> {
    const row = await payer.sync(channel, given)
    const ground = row && payer.groundOf(row)
    const said = z.safeParse(corrective, requirements.extra?.channelState).data
    if (row === undefined || ground === undefined) return false
    const hasMoved = ground.nonce !== newest?.ground.nonce
    const max = BigInt(said?.signedMaxClaimable ?? 0n)
    const proven = said !== undefined && (await payer.isOwn(channel, { max, signature: said.signature, ground })) ? max : undefined
    if (!hasMoved && (proven === undefined || proven < row.top)) return false
    await book.change(channelId, (one) => {
      const without = leaveLane(one, { id, used: 0n, now: clock() }).channel
      if (proven === undefined || proven < without.top) return { channel: without, result: undefined }
      // Its payer's own voucher shows that so much was signed before these books began; only what was settled is known to be spent.
      return { channel: adoptPosition({ ...without, top: proven }, { position: proven }), result: undefined }
    })
    await begin(window, given)
    return true
  }

  const account: LaneAccount = {
    channelId,
    standing: () => standing,
    async slide(step, { signal } = {}) {
      const { slid, ground } = await stepOn({ ...step, opens: false }, signal)
      standing = slid
      const isNewer = slid.max > (newest?.voucher.maxClaimableAmount ?? 0n) || ground.nonce !== newest?.ground.nonce
      return isNewer && slid.max > ground.settled ? await sign(slid.max, ground) : undefined
    },
    payment() {
      if (newest === undefined) throw solanaErrors('solana/unsupported-terms', { why: 'nothing is signed over this lane' })
      return prepared(payer, channel, { of: newest, id, now: opened?.now ?? clock() / 1000 })
    },
    renew,
    async topUp(least, { signal }) {
      const row = await book.find(channelId)
      // The deposit is a transaction of the payer's own: there is nothing to bring to anybody.
      if (row !== undefined && unsignedFunds(row) < least) await payer.fill(channel, { need: least, advised, signal })
      return undefined
    },
    async brought() {},
    correct,
    async close(used, { charged } = {}) {
      closed = used
      const told = charged === undefined ? undefined : { charged, max: standing.max }
      await book.change(channelId, (row) => leaveLane(row, { id, used, now: clock(), told }))
    },
    async final({ received, most }) {
      // What was settled meanwhile may have ended what was signed before.
      const row = await payer.sync(channel, {})
      const ground = row && payer.groundOf(row)
      if (row === undefined || ground === undefined) return undefined
      const owed = row.charged - greater(closed - received, 0n)
      const max = most === undefined ? owed : lesser(owed, most)
      return max > ground.settled ? (await signed(payer, channel, max, ground)).voucher : undefined
    },
  }
  return { account, begin }
}

const corrective = z.looseObject({
  signedMaxClaimable: z.string().check(z.regex(/^\d{1,20}$/)),
  signature: z.string(),
})

/** Windows of the same channels (grade A): each is one payment, for exactly its price more. */
export function exactWindows<Terms>(payer: ExactPayer<Terms>): Required<Pick<ClientScheme, 'prepare' | 'onReceipt' | 'onCorrective'>> {
  const { book, clock, random } = payer
  type Window = { readonly channel: OpenChannel<Terms>; readonly id: string; readonly amount: bigint; readonly ground: Ground }
  const bought = new WeakMap<Prepared, Window>()

  type Signing = { readonly to: bigint; readonly ground: Ground } | Withheld
  const take = async (channelId: string, { id, amount }: { readonly id: string; readonly amount: bigint }): Promise<Signing> => {
    const taken = await book.change<Signing>(channelId, (row) => {
      const ground = payer.groundOf(row)
      const now = clock()
      const { channel, result } = signStretch(row, { id, amount, now, until: now + windowMs })
      if (ground === undefined) return { channel: row, result: 'beyond' }
      return { channel, result: typeof result === 'string' ? result : { to: result.to, ground } }
    })
    return taken ?? 'beyond'
  }
  const giveBack = async (one: Prepared, isUsed: boolean): Promise<void> => {
    const held = bought.get(one)
    if (held === undefined) return
    const { channel, id, amount } = held
    await book.change(channel.id, (row) => endStretch(row, { id, used: isUsed ? amount : 0n, signature: '', now: clock() }))
  }
  const prepare: ClientScheme['prepare'] = async (requirements, given) => {
    const { signal } = given
    const amount = BigInt(requirements.amount)
    const needed = { need: amount, advised: advisedBy(requirements), signal }
    const channel = await payer.channelFor(requirements, needed)
    const id = bytesToHex(random(new Uint8Array(16)))
    await payer.sync(channel, given)
    let taken = await take(channel.id, { id, amount })
    if (taken === 'beyond') {
      await payer.fill(channel, needed)
      taken = await take(channel.id, { id, amount })
    }
    if (typeof taken === 'string') throw solanaErrors('solana/channel-busy', { channel: channel.id })
    const of = await signed(payer, channel, taken.to, taken.ground)
    const payment = prepared(payer, channel, { of, id, now: given.now })
    bought.set(payment, { channel, id, amount, ground: taken.ground })
    return payment
  }
  return {
    prepare,
    async onReceipt(one, { status }) {
      // Whatever is said of it, no more than its price was agreed to; what nobody knows of counts as spent.
      await giveBack(one, status !== 'unpaid')
    },
    async onCorrective(one, { requirements, sends }, given) {
      const held = bought.get(one)
      // Of what was sent twice the first may have been taken.
      if (sends > 1 || held === undefined) return undefined
      const row = await payer.sync(held.channel, given)
      // Only the chain says that a settlement has ended what was signed.
      if (row === undefined || payer.groundOf(row)?.nonce === held.ground.nonce) return undefined
      await giveBack(one, false)
      return await prepare(requirements, given)
    },
  }
}
