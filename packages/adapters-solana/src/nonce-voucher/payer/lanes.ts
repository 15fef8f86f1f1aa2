import {
  adoptPosition,
  type Changed,
  type Correction,
  type PaymentRequirements,
  type Prepared,
  type PrepareOptions,
  unsignedFunds,
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
import { decodeBase58, encodeBase58 } from '../../chain/base58.ts'
import { solanaErrors } from '../../chain/errors.ts'
import { channelIdOf, type NonceChannel } from '../channel.ts'
import { epochOf, readRow } from '../receiver/row.ts'
import type { Epoch } from '../state.ts'
import { isAmount, isVoucher, voucherMessage } from '../voucher.ts'
import { nonceExtra } from '../wire.ts'
import { channelFor, fill, type NonceDesk, sync } from './desk.ts'

// A lane whose process says nothing for so long is lost, and what was signed for it is spent.
const leaseMs = 120_000
const monthSeconds = 30 * 86_400

type Step = { readonly used: bigint; readonly window: bigint; readonly least: bigint; readonly opens: boolean }
type Taken = { readonly slid: Slid; readonly epoch: Epoch } | 'beyond'

/** Lanes of a payer over channels of nonces: his voucher slides over books that all processes of his wallet share. */
export function nonceLanes(desk: NonceDesk): LanePayer {
  return {
    async open(requirements, window, given) {
      const channel = await channelFor(desk, requirements)
      const lane = createLane(desk, { channel, advised: advisedBy(requirements) })
      await lane.begin(window, given)
      return lane.account
    },
  }
}

/** What an offer advises to put in; nothing where it says nothing. */
export function advisedBy({ extra }: PaymentRequirements): bigint {
  return BigInt(z.safeParse(nonceExtra, extra).data?.minDeposit ?? 0n)
}

/** A voucher and the epoch it was signed in. */
export type SignedTick = { readonly voucher: StreamVoucher; readonly epoch: Epoch }

/** Signs for everything up to `max`, over the nonce of an epoch: this template, and nothing else (FS/1 §12.3, rule 4). */
export async function signTick(
  { session, decimals, chain }: NonceDesk,
  channel: NonceChannel,
  { max, epoch }: { readonly max: bigint; readonly epoch: Epoch },
): Promise<SignedTick> {
  const amount = max - epoch.settled
  if (!isAmount(amount)) throw solanaErrors('solana/unsupported-terms', { why: `${amount} is nothing that a voucher can say` })
  const { sender } = await session()
  const said = { nonce: epoch.nonce, amount, decimals }
  const signature = await sender.sign(voucherMessage(channel, said))
  if (!(await isVoucher(channel, { ...said, signature }, chain))) throw solanaErrors('solana/bad-signature', { address: sender.address })
  return { voucher: { channelId: channelIdOf(channel), maxClaimableAmount: max, signature: encodeBase58(signature) }, epoch }
}

/** A tick as a payment. */
export function paymentOf(channel: NonceChannel, { voucher, epoch }: SignedTick, { id, now }: { id: string; now: number }): Prepared {
  const { channelId, maxClaimableAmount, signature } = voucher
  const wire = { channelId, maxClaimableAmount: `${maxClaimableAmount}`, settled: `${epoch.settled}`, nonce: epoch.nonce, signature }
  // It is dead as soon as its epoch is settled; until then no time ends it.
  const key = { id: `${channelId}/${id}`, payer: channel.payer, deadAfter: Math.floor(now) + monthSeconds }
  return { payload: { type: 'voucher', channel, voucher: wire }, key }
}

type Lane = { readonly account: LaneAccount; begin(window: bigint, given: PrepareOptions): Promise<void> }

function createLane(desk: NonceDesk, { channel, advised }: { readonly channel: NonceChannel; readonly advised: bigint }): Lane {
  const { book, clock, random } = desk
  const channelId = channelIdOf(channel)
  const id = bytesToHex(random(new Uint8Array(16)))
  let standing: Slid = { max: 0n, used: 0n, credit: 0n, grown: 0n }
  let signed: SignedTick | undefined
  let opened: PrepareOptions | undefined
  let closed = 0n

  const take = async (step: Step): Promise<Taken> => {
    const taken = await book.change<Taken>(channelId, (row): Changed<Taken> => {
      const told = readRow(row)
      const { channel: next, result } = slideVoucher(row, { ...step, id, now: clock(), until: clock() + leaseMs })
      if (told === undefined || result === 'beyond') return { channel: row, result: 'beyond' }
      if (typeof result === 'string') throw solanaErrors('solana/channel-busy', { channel: channelId })
      return { channel: next, result: { slid: result, epoch: epochOf(told) } }
    })
    return taken ?? 'beyond'
  }

  /** Takes a step, with a deposit before it where it needs one. */
  async function stepOn(step: Step, signal: AbortSignal | undefined): Promise<Exclude<Taken, 'beyond'>> {
    const first = await take(step)
    if (first !== 'beyond') return first
    await fill(desk, channel, { need: step.window + 1n, advised, signal })
    const second = await take(step)
    if (second === 'beyond') throw solanaErrors('solana/channel-busy', { channel: channelId })
    return second
  }

  const sign = async (max: bigint, epoch: Epoch): Promise<StreamVoucher> => {
    signed = await signTick(desk, channel, { max, epoch })
    return signed.voucher
  }

  async function begin(window: bigint, given: PrepareOptions): Promise<void> {
    opened = given
    // The chain is looked at before the first voucher of every lane.
    await sync(desk, channel, given)
    const { slid, epoch } = await stepOn({ used: 0n, window, least: 0n, opens: true }, given.signal)
    standing = slid
    await sign(slid.max, epoch)
  }

  /** Where the nonce moved on, all that is signed for is signed anew over the next one; nothing where it did not. */
  async function renew(signal?: AbortSignal): Promise<StreamVoucher | undefined> {
    const row = await sync(desk, channel, { signal })
    const told = row && readRow(row)
    if (told === undefined || told.nonce === signed?.epoch.nonce || standing.max <= told.settled) return undefined
    return await sign(standing.max, epochOf(told))
  }

  async function correct({ requirements }: Correction, window: bigint, given: PrepareOptions): Promise<boolean> {
    const row = await sync(desk, channel, given)
    const told = row && readRow(row)
    const said = z.safeParse(corrective, requirements.extra?.channelState).data
    if (row === undefined || told === undefined) return false
    const hasMoved = told.nonce !== signed?.epoch.nonce
    const proven = said === undefined ? undefined : await provenBy(desk, channel, { said, epoch: epochOf(told) })
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
      const { slid, epoch } = await stepOn({ ...step, opens: false }, signal)
      standing = slid
      const isNewer = slid.max > (signed?.voucher.maxClaimableAmount ?? 0n) || epoch.nonce !== signed?.epoch.nonce
      return isNewer && slid.max > epoch.settled ? await sign(slid.max, epoch) : undefined
    },
    payment() {
      if (signed === undefined) throw solanaErrors('solana/unsupported-terms', { why: 'nothing is signed over this lane' })
      return paymentOf(channel, signed, { id, now: opened?.now ?? clock() / 1000 })
    },
    renew,
    async topUp(least, { signal }) {
      const row = await book.find(channelId)
      // The deposit is a transaction of the payer's own: there is nothing to bring to anybody.
      if (row !== undefined && unsignedFunds(row) < least) await fill(desk, channel, { need: least, advised, signal })
      return undefined
    },
    async brought() {},
    correct,
    async close(used) {
      closed = used
      await book.change(channelId, (row) => leaveLane(row, { id, used, now: clock() }))
    },
    async final({ received, most }) {
      // What was settled meanwhile ended what was signed before.
      const row = await sync(desk, channel, {})
      const told = row && readRow(row)
      if (row === undefined || told === undefined) return undefined
      const owed = row.charged - greater(closed - received, 0n)
      const max = most === undefined ? owed : lesser(owed, most)
      return max > told.settled ? (await signTick(desk, channel, { max, epoch: epochOf(told) })).voucher : undefined
    },
  }
  return { account, begin }
}

const corrective = z.looseObject({
  signedMaxClaimable: z.string().check(z.regex(/^\d{1,20}$/)),
  signature: z.string(),
})

/** What a voucher that the receiver shows proves to have been signed: by this payer's key, over the nonce of today. */
async function provenBy(
  { decimals, chain }: NonceDesk,
  channel: NonceChannel,
  { said, epoch }: { readonly said: z.infer<typeof corrective>; readonly epoch: Epoch },
): Promise<bigint | undefined> {
  const max = BigInt(said.signedMaxClaimable)
  const signature = decodeBase58(said.signature) ?? new Uint8Array()
  const voucher = { nonce: epoch.nonce, amount: max - epoch.settled, decimals, signature }
  return (await isVoucher(channel, voucher, chain)) ? max : undefined
}
