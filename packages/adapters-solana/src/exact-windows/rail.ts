import {
  type Changed,
  type Channel,
  type Charged,
  type Claim,
  channelBook,
  type Facilitator,
  isX402Error,
  type Outcome,
  type PaymentKey,
  type PaymentPayload,
  type ServerScheme,
  type Store,
  type Submission,
  type VoucherRefusal,
} from '@flow402x/core'
import {
  adoptLane,
  creditOf,
  endLane,
  grantedIn,
  growLane,
  type LaneRefusal,
  type LaneResult,
  type LaneStanding,
  type Rail,
  type RailLane,
} from '@flow402x/core/stream'
import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex } from '@noble/hashes/utils'
import { arrived, payerIn, sellWindow, windowsFor } from './row.ts'

/** What streams of windows work with: the scheme that takes their payments, and the books. */
export type WindowRailOptions = {
  readonly scheme: Pick<ServerScheme, 'network' | 'key' | 'check' | 'look'>
  readonly store: Pick<Store, 'channels' | 'claims'>
  /** Unix milliseconds. */
  readonly clock: () => number
}

// For how long a process that settles a payment is believed to be alive (ms), and how often one is tried.
const leaseMs = 60_000
const attempts = { maxAttempts: 1000 }

/**
 * A rail without vouchers (FS/1 §12.4): each window is a whole payment, settled before it is sold. What makes it pay once is the claim on
 * the payment, as for any other; then it stands in its payer's row, and what is not used of it is gone.
 */
export function windowRail({ scheme, store, clock }: WindowRailOptions): Rail {
  const { network } = scheme
  const { claims } = store
  const book = channelBook(store.channels, { side: 'receiver' })
  const holder = crypto.randomUUID()

  const judged = (submission: Submission): Judged | VoucherRefusal => {
    const verdict = scheme.check(submission, { now: clock() / 1000 })
    if (!verdict.valid) return { reason: verdict.reason, ...(verdict.message === undefined ? {} : { message: verdict.message }) }
    const key = scheme.key(submission.payment)
    if (key === undefined) return { reason: 'invalid_payload' }
    return { key, payer: verdict.payer, id: rowId(submission.payment, verdict.payer), amount: BigInt(submission.requirements.amount) }
  }

  /** The claim on a payment, for who goes on with it: a new one, or one that nobody is believed to work on any more. */
  async function hold(submission: Submission, { key, id }: Judged): Promise<{ readonly claim: Claim; readonly isMine: boolean }> {
    const now = clock()
    const request = { key, binding: `stream ${id}`, claimId: crypto.randomUUID(), submission, now, leaseUntil: now + leaseMs, holder }
    const { granted, claim } = await claims.claim(request, attempts)
    // What pays for something else is finished by whoever took it for that.
    const isOver = claim.binding !== request.binding || !['claimed', 'settling'].includes(claim.state)
    if (granted || claim.leaseUntil > now || isOver) return { claim, isMine: granted }
    const taken = await claims.update(claim, { state: claim.state, leaseUntil: now + leaseMs, holder })
    return { claim: taken ?? claim, isMine: taken !== undefined }
  }

  /** Settles a payment that this process holds: the facilitator hears the same claim however often it is asked. */
  async function settle(held: Claim, facilitator: Facilitator): Promise<{ readonly outcome: Outcome; readonly claim: Claim | undefined }> {
    const claim = held.state === 'settling' ? held : await claims.update(held, { state: 'settling' })
    if (claim === undefined) return { outcome: { status: 'pending', network }, claim: undefined }
    const outcome = await facilitator.settle(claim.submission, { claimId: claim.claimId }).catch((error: unknown): Outcome => {
      if (!isX402Error(error)) throw error
      return { status: 'pending', network }
    })
    if (outcome.status === 'settled')
      return { outcome, claim: await claims.update(claim, { state: 'settled', outcome, settledAt: clock() }) }
    // Whoever comes next asks again; one that was not settled is over.
    const change = outcome.status === 'pending' ? { leaseUntil: 0 } : { state: 'failed' as const, outcome }
    return { outcome, claim: await claims.update(claim, change) }
  }

  /** Whether the chain itself shows what a facilitator says (M13): mined and not final yet is enough for a window. */
  async function isSeen(submission: Submission, transaction: string): Promise<boolean> {
    const seen = await scheme.look?.(submission, { transaction })
    return seen === undefined || seen.status === 'settled' || (seen.status === 'pending' && seen.transaction === transaction)
  }

  const settled = async (lane: RailLane, change: (channel: Channel) => Changed<LaneResult>): Promise<LaneStanding | LaneRefusal> => {
    const step = await book.change(lane.channelId, (channel) => {
      const { channel: next, result } = change(channel)
      return { channel: next, result: { channel: next, result } }
    })
    return step === undefined ? over : answerOf(step.channel, step.result)
  }
  const stepOf = (lane: RailLane) => ({ ...lane, now: clock() })

  return {
    grades: ['A'],
    refundable: false,
    // It takes no vouchers at all.
    unsigned: 'invalid_payload',
    read(payment) {
      const key = scheme.key(payment)
      if (key === undefined) return undefined
      return {
        kind: 'deposit',
        payer: key.payer,
        channelId: rowId(payment, key.payer),
        max: BigInt(payment.accepted.amount),
        signature: '',
      }
    },
    async check(submission) {
      const judgement = judged(submission)
      return 'reason' in judgement ? judgement : { id: judgement.id, payer: judgement.payer, signed: () => undefined }
    },
    async channel(id) {
      const found = await book.find(id)
      const payer = found && payerIn(found)
      return payer === undefined ? undefined : { id, payer, signed: () => undefined }
    },
    async move(submission, { facilitator, signal }) {
      const judgement = judged(submission)
      if ('reason' in judgement) return judgement
      const { key, id, payer, amount } = judgement
      if ((await claims.find(key.id)) === undefined) {
        const verdict = await facilitator.verify(submission, { signal })
        if (!verdict.valid) return { reason: verdict.reason, ...(verdict.message === undefined ? {} : { message: verdict.message }) }
      }
      let { claim, isMine } = await hold(submission, judgement)
      if (claim.binding !== `stream ${id}`) return { reason: 'payment_already_used' }
      if (claim.state === 'failed') return claim.outcome ?? { reason: 'payment_already_used' }
      if (isMine) {
        const { outcome, claim: after } = await settle(claim, facilitator)
        if (outcome.status !== 'settled') return outcome
        claim = after ?? claim
      }
      const { outcome } = claim
      if ((claim.state !== 'settled' && claim.state !== 'delivered') || outcome?.status !== 'settled') return { status: 'pending', network }
      if (claim.state === 'settled' && !(await isSeen(submission, outcome.transaction))) return { status: 'pending', network }
      await book.open(windowsFor({ id, network, payer }))
      await book.change(id, (channel) => arrived(channel, { key, amount, now: clock() }))
      // It stands in the row: from now on that says whether it was sold.
      if (claim.state === 'settled') await claims.update(claim, { state: 'delivered' })
      return outcome
    },
    async buy(submission, lane, { opens }) {
      const judgement = judged(submission)
      if ('reason' in judgement) return { status: 402, ...judgement }
      const { key, amount, payer } = judgement
      const standing = await settled(lane, (channel) => sellWindow(channel, { ...stepOf(lane), key: key.id, amount, opens }))
      if ('reason' in standing) return standing
      const receipt: Charged = { status: 'settled', transaction: '', network, payer, amount: `${amount}` }
      return { standing, receipt }
    },
    raise: async () => ({
      status: 402,
      reason: 'invalid_payload',
      message: 'This route sells whole windows: each is a payment of its own.',
    }),
    grow: (lane) => settled(lane, (channel) => growLane(channel, stepOf(lane))),
    adopt: (lane) => settled(lane, (channel) => adoptLane(channel, { ...stepOf(lane), epoch: lane.epoch })),
    // What was paid is not given back, whoever asks.
    end: (lane) => settled(lane, (channel) => endLane(channel, { ...stepOf(lane), refundable: false })),
  }
}

/** A payment whose terms and payer are right. */
type Judged = { readonly key: PaymentKey; readonly payer: string; readonly id: string; readonly amount: bigint }

const over: LaneRefusal = { status: 410, reason: 'missing_channel', message: 'This lane is over.' }

/** One row for each payer, payee and token: 32 bytes in hex. */
function rowId({ accepted: { network, asset, payTo } }: PaymentPayload, payer: string): string {
  return bytesToHex(sha256(new TextEncoder().encode(['windows', network, asset, payTo, payer].join(' '))))
}

function answerOf(channel: Channel, lane: LaneResult): LaneStanding | LaneRefusal {
  if (lane === 'gone') return over
  if (lane === 'crowded' || lane === 'busy' || lane === 'held') return { status: 429, reason: 'channel_busy' }
  if (typeof lane === 'string')
    return { status: 402, reason: 'payment_already_used', message: 'This payment has bought its window already.' }
  const { balance, claimed } = channel.funds
  return {
    granted: lane.granted,
    used: lane.used,
    ahead: lane.used + creditOf(lane) - lane.granted,
    accepted: channel.top,
    consumed: channel.charged,
    charged: grantedIn(channel),
    isDraining: false,
    channel: { balance, claimed, withdrawRequestedAt: 0 },
  }
}
