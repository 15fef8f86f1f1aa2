import {
  adoptPosition,
  type Changed,
  type Channel,
  type Correction,
  type Filling,
  landFilling,
  learnPayerFunds,
  type PaymentRequirements,
  type Prepared,
  type PrepareOptions,
  type SettleResponse,
  usableFunds,
} from '@flow402x/core'
import { type LaneAccount, type LanePayer, leaveLane, type Slid, type StreamVoucher, slideVoucher } from '@flow402x/core/stream'
import { toHex } from '../../crypto/bytes.ts'
import { signVoucher } from '../signing.ts'
import { learnWhen, openRow, prepareFilling, readFunds } from './books.ts'
import { disagrees, saidIn } from './correct.ts'
import { broughtSchema } from './deposit.ts'
import { channelErrors } from './errors.ts'
import type { ChannelOffer } from './offer.ts'
import { drawOptions, type Payer } from './payment.ts'

// A lane whose process says nothing for so long is lost, and what was signed for it is spent.
const leaseMs = 120_000

type Step = { readonly used: bigint; readonly window: bigint; readonly least: bigint; readonly opens: boolean }
type Taken = (Slid & { readonly filling?: Filling }) | 'beyond'

/** Lanes of a payer on EVM chains: their vouchers slide over the books that his other payments use. `offerOf` throws for what cannot be paid. */
export function lanePayer(
  payer: Payer,
  {
    offerOf,
    askedIn,
  }: { offerOf(requirements: PaymentRequirements): ChannelOffer; askedIn(binding: string | undefined): string | undefined },
): LanePayer {
  return {
    async open(requirements, window, given) {
      const offer = offerOf(requirements)
      const row = await openRow(payer.desk, offer, { asked: askedIn(given.binding), signal: given.signal })
      const isLost = row.lanes?.some(({ until = 0 }) => until <= payer.desk.clock())
      // What became of a lane that broke off only the chain can say: its channel may be over by now.
      if (isLost) await learnWhen(payer.desk, offer, { isSeen: () => true, signal: given.signal })
      const lane = createLane(payer, offer)
      await lane.begin(window, given)
      return lane.account
    },
  }
}

type Lane = { readonly account: LaneAccount; begin(window: bigint, given: PrepareOptions): Promise<void> }

function createLane({ desk, voucherSigner, tell }: Payer, offer: ChannelOffer): Lane {
  const { book, clock, random } = desk
  const { id: channelId, network, config } = offer
  const id = toHex(random(new Uint8Array(16))).slice(2)
  let standing: Slid = { max: 0n, used: 0n, credit: 0n, grown: 0n }
  let voucher: StreamVoucher | undefined
  let filling: Filling | undefined
  let deadAfter = 0

  const slideRow = (channel: Channel, step: Step) => slideVoucher(channel, { ...step, id, now: clock(), until: clock() + leaseMs })

  async function take(step: Step, fresh?: Filling): Promise<Taken> {
    const taken = await book.change<Taken>(channelId, (channel) => {
      const plain = slideRow(channel, step)
      if (plain.result !== 'beyond') return found(plain)
      // A deposit on its way may be brought by several: it comes in once.
      const brought = step.opens ? (channel.filling ?? fresh) : undefined
      if (brought === undefined) return { channel, result: 'beyond' }
      const { funds } = channel
      const { channel: next, result } = found(slideRow({ ...channel, funds: { ...funds, balance: funds.balance + brought.amount } }, step))
      const isTaken = typeof result !== 'string'
      return isTaken ? { channel: { ...next, funds, filling: brought }, result: { ...result, filling: brought } } : { channel, result }
    })
    if (taken === undefined) throw channelErrors('evm/no-channel', { channelId })
    return taken
  }

  const found = ({ channel, result }: ReturnType<typeof slideVoucher>): Changed<Taken> => {
    if (typeof result === 'string' && result !== 'beyond') throw channelErrors('evm/channel-busy', { channelId })
    return { channel, result }
  }

  async function sign(): Promise<StreamVoucher> {
    const { signature } = await signVoucher(config, standing.max, { signer: voucherSigner, chainId: offer.chainId })
    voucher = { channelId, maxClaimableAmount: standing.max, signature }
    return voucher
  }

  async function begin(window: bigint, given: PrepareOptions): Promise<void> {
    const step = { used: 0n, window, least: 0n, opens: true }
    let taken = await take(step)
    if (taken === 'beyond') taken = await take(step, await newFilling(window, given))
    if (taken === 'beyond') throw channelErrors('evm/channel-empty', { channelId })
    deadAfter = drawOptions(given).until
    filling = taken.filling
    standing = taken
    await sign()
  }

  /** A deposit for `amount` more and for what the seller advises, or for `least` where that is more. */
  async function newFilling(amount: bigint, given: PrepareOptions, least = 0n): Promise<Filling | undefined> {
    const row = await book.find(channelId)
    if (row === undefined) throw channelErrors('evm/no-channel', { channelId })
    const { minDeposit = 0n } = offer
    const sized = { ...offer, amount, minDeposit: minDeposit > least ? minDeposit : least }
    const made = await prepareFilling(desk, sized, { ...drawOptions(given), fill: row, fits: false })
    return made && { ...made, by: id }
  }

  function payment(): Prepared {
    const drawn = { channelConfig: config, voucher: { ...voucher, maxClaimableAmount: `${voucher?.maxClaimableAmount ?? 0n}` } }
    const key = { id: `${network}/${channelId}/${id}`, payer: config.payer.toLowerCase(), deadAfter }
    if (filling === undefined) return { payload: { type: 'voucher', ...drawn }, key }
    const { authorization, extensions } = broughtSchema.parse(filling.authorization)
    const deposit = { amount: `${filling.amount}`, authorization }
    return { payload: { type: 'deposit', ...drawn, deposit }, key, ...(extensions === undefined ? {} : { extensions }) }
  }

  async function brought(receipt: SettleResponse | undefined): Promise<void> {
    const coming = filling
    const row = await book.find(channelId)
    if (coming === undefined || row === undefined) return
    filling = undefined
    const isOurs = (channel: Channel) => channel.filling !== undefined && channel.filling.amount === coming.amount
    const trusts = desk.chainOf(network) === undefined
    if (trusts && receipt?.success !== true) return
    const wanted = row.funds.balance + coming.amount
    if (trusts)
      await book.change(channelId, (channel) => ({ channel: isOurs(channel) ? landFilling(channel) : channel, result: undefined }))
    else if (!(await learnWhen(desk, { id: channelId, network }, { isSeen: ({ balance }) => balance >= wanted }))) return
    tell({ channelId, network, token: config.token, type: 'deposited', amount: coming.amount, transaction: receipt?.transaction ?? '' })
  }

  async function correct(correction: Correction, window: bigint, given: PrepareOptions): Promise<boolean> {
    const said = saidIn({ offer, correction })
    const funds = said === undefined ? await readFunds(desk, offer, given.signal) : undefined
    if (said === undefined && funds === undefined) return false
    await book.change(channelId, (channel) => {
      const row = leaveLane(channel, { id, used: 0n, now: clock() }).channel
      if (said === undefined) return { channel: funds === undefined ? row : learnPayerFunds(row, funds), result: undefined }
      return { channel: rebased(row, { ...said, sent: standing.max, before: channel.top - standing.grown }), result: undefined }
    })
    await begin(window, given)
    return true
  }

  /** The row from where its receiver says it stands, as far as that was signed before, or by a voucher of the payer's own that he shows. */
  function rebased(row: Channel, { charged, proven, sent, before }: Said): Channel {
    const position = charged > row.funds.claimed ? charged : row.funds.claimed
    // The voucher that was just sent proves nothing: it was refused.
    const reach = proven > sent && proven > before ? proven : before
    if (position > reach) throw disagrees(offer, `it counts ${position} as charged, and before this lane ${reach} were signed`)
    if (row.lanes !== undefined) throw channelErrors('evm/channel-busy', { channelId })
    const next = adoptPosition({ ...row, top: proven > row.top ? proven : row.top }, { position })
    if (position <= next.funds.balance || desk.chainOf(network) !== undefined) return next
    return { ...next, funds: { ...next.funds, balance: position } }
  }

  const account: LaneAccount = {
    channelId,
    standing: () => standing,
    async slide(step) {
      const taken = await take({ ...step, opens: false })
      if (taken === 'beyond') throw channelErrors('evm/channel-empty', { channelId })
      standing = taken
      // A signature that failed is made up for by the next.
      return standing.max > (voucher?.maxClaimableAmount ?? 0n) ? await sign() : undefined
    },
    payment,
    async room() {
      const row = await book.find(channelId)
      return row === undefined ? 0n : row.free.reduce((sum, { from, to }) => sum + to - from, usableFunds(row) - row.top)
    },
    async topUp(least, given) {
      const row = await book.find(channelId)
      if (row === undefined || filling !== undefined || row.filling !== undefined || usableFunds(row) - row.top >= least) return undefined
      const fresh = await newFilling(1n, given, least)
      const taken = await book.change(channelId, (channel) => {
        const isFree = fresh !== undefined && channel.filling === undefined
        return { channel: isFree ? { ...channel, filling: fresh } : channel, result: isFree }
      })
      if (taken !== true) return undefined
      filling = fresh
      return payment()
    },
    brought: (_, receipt) => brought(receipt),
    correct,
    async close(used, { charged } = {}) {
      const told = charged === undefined ? undefined : { charged, max: standing.max }
      await book.change(channelId, (channel) => leaveLane(channel, { id, used, now: clock(), told }))
    },
  }
  return { account, begin }
}

type Said = { readonly charged: bigint; readonly proven: bigint; readonly sent: bigint; readonly before: bigint }
