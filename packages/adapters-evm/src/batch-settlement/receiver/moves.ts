import {
  type Channel,
  type Facilitator,
  type Outcome,
  type PaymentRequirements,
  type Submission,
  setAside,
  type VoucherRefusal,
} from '@flow402x/core'
import { encodeCall, type Target } from '../../chain/abi.ts'
import type { EvmReader } from '../../chain/reader.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { isSet, nonceWord } from '../../permit2/proxy.ts'
import { depositNonce } from '../channel.ts'
import { signClaims, signRefund } from '../signing.ts'
import { batchReason, bookId, type VoucherClaim } from '../wire.ts'
import { claimOf, type ReceiverBooks, stateOf } from './books.ts'
import type { ChannelReceiver, Checked } from './receiver.ts'

/** What moving a channel's money takes. */
export type MovesOptions = {
  readonly chain: EvmReader
  readonly books: ReceiverBooks
  readonly receiver: ChannelReceiver
  /** A row of a claim as the escrow takes it. */
  readonly claimable: (row: VoucherClaim) => VoucherClaim
  /** Signs for the receiver; the facilitator does where it is the authorizer. */
  readonly authorizer: EvmSigner | undefined
  /** What a channel must have been charged, in atomic units, for each refund it gets (M19). */
  readonly chargedPerRefund: bigint
  /** Unix milliseconds. */
  readonly clock: () => number
}

/** With what a move is made. */
export type MoveOptions = { readonly facilitator: Facilitator; readonly signal?: AbortSignal | undefined }

/** Deposits and refunds of channels, through a facilitator. What the chain shows counts, and not the facilitator's word. */
export function channelMoves(options: MovesOptions): (submission: Submission, given: MoveOptions) => Promise<Outcome | VoucherRefusal> {
  return async (submission, given) => {
    const payload = options.receiver.check(submission)
    if ('reason' in payload) return payload
    if (payload.type === 'deposit') return deposit({ ...options, ...given, submission, payload })
    if (payload.type === 'refund') return refund({ ...options, ...given, submission, payload })
    return { reason: batchReason('payload_type') }
  }
}

type Move<Type extends Checked['type']> = MovesOptions &
  MoveOptions & { readonly submission: Submission; readonly payload: Extract<Checked, { readonly type: Type }> }

async function deposit(move: Move<'deposit'>): Promise<Outcome | VoucherRefusal> {
  const { books, chain, payload, submission, facilitator, receiver, clock, signal } = move
  const { channelConfig, deposit: filling } = payload
  const id = bookId(payload.voucher.channelId)
  const network = chain.network
  const settled = (transaction: string): Outcome => {
    return { status: 'settled', transaction, network, payer: channelConfig.payer, amount: transaction === '' ? '' : `${filling.amount}` }
  }
  if (await isIn(move)) return settled('')
  // Nobody's gas is spent for a voucher that pays nothing.
  const unseen = await books.learn([id], { now: clock(), signal, found: () => channelConfig })
  const before = unseen.get(id)?.balance
  if (before === undefined) return { reason: batchReason('rpc_read_failed') }
  const refused = await receiver.foresee(submission, { now: clock(), more: filling.amount })
  if (refused !== undefined) return refused
  if (payload.voucher.maxClaimableAmount > before + filling.amount) return { reason: batchReason('cumulative_exceeds_balance') }
  const verdict = await facilitator.verify(submission, { signal })
  if (!verdict.valid) return (await isIn(move)) ? settled('') : refusal(verdict)
  const outcome = await facilitator.settle(submission, { claimId: depositId(move) })
  // A copy may have brought it in, and a node may not show yet what the facilitator saw.
  const arrived = await shown(outcome.status === 'settled' ? seenWithin : 0, () => isIn(move))
  if (arrived) return settled(outcome.transaction ?? '')
  return outcome.status === 'settled'
    ? { status: 'pending', network, transaction: outcome.transaction, payer: channelConfig.payer }
    : outcome
}

/** Copies of a deposit are one settlement, whoever brings them: what it grants is told by the chain and the books (M2). */
function depositId({ payload }: Move<'deposit'>): string {
  const { erc3009Authorization, permit2Authorization } = payload.deposit.authorization
  return `deposit:${bookId(payload.voucher.channelId)}:${erc3009Authorization?.salt ?? permit2Authorization?.nonce}`
}

/** Whether the chain took this very deposit: its nonce is bound to the channel and of use to the collector alone. */
async function isIn({ chain, payload, signal }: Move<'deposit'>): Promise<boolean> {
  const { erc3009Authorization, permit2Authorization } = payload.deposit.authorization
  const { payer, token } = payload.channelConfig
  const asked: Target =
    erc3009Authorization === undefined
      ? nonceWord(permit2Authorization)
      : {
          target: token,
          data: encodeCall('0xe94a0102', [payer, depositNonce(bookId(payload.voucher.channelId), erc3009Authorization.salt)]),
        }
  const [answer] = await chain.read([asked], { signal })
  if (answer?.success !== true || answer.data === '0x') return false
  return erc3009Authorization === undefined ? isSet(BigInt(answer.data), permit2Authorization.nonce) : BigInt(answer.data) === 1n
}

/**
 * Gives back what was not charged, claiming what was in the same step. What is asked is set aside first, and stays so until the escrow's
 * nonce has moved on: a consent to a refund lives as long (M27). So asking again asks for the same.
 */
async function refund(move: Move<'refund'>): Promise<Outcome | VoucherRefusal> {
  const { books, chain, payload, facilitator, clock, signal, chargedPerRefund } = move
  const { channelConfig } = payload
  const id = bookId(payload.voucher.channelId)
  const learned = (await books.learn([id], { now: clock(), signal, found: () => channelConfig })).get(id)
  if (learned === undefined || learned.balance === 0n) return { reason: batchReason('channel_not_found') }
  const asked = await books.change<Aside | VoucherRefusal>(id, (channel) => {
    const left = channel.funds.balance - channel.charged
    const amount = payload.amount ?? left
    if (channel.charged < chargedPerRefund * (channel.funds.refundNonce + 1n)) return { channel, result: { ...none, message: tooEarly } }
    if (channel.refunding === 0n && left <= 0n) return { channel, result: none }
    if (amount <= 0n || (channel.refunding === 0n && amount > left))
      return { channel, result: { reason: batchReason('refund_amount_invalid') } }
    const { channel: next, result } = setAside(channel, { amount, now: clock() })
    return { channel: next, result: result === undefined ? { reason: batchReason('channel_busy') } : { channel: next, amount: result } }
  })
  if (asked === undefined) return { reason: batchReason('missing_channel') }
  if ('reason' in asked) return asked
  const nonce = asked.channel.funds.refundNonce
  const { voucher, charged } = asked.channel
  const claimId = `refund:${id}:${nonce}:${asked.amount}:${charged}:${voucher?.max ?? 0n}`
  const outcome = await facilitator.settle(await enriched(move, asked), { claimId })
  const isOver = await shown(outcome.status === 'settled' ? seenWithin : 0, async () => {
    const now = (await books.learn([id], { now: clock(), signal })).get(id)
    return now !== undefined && now.refundNonce > nonce
  })
  if (!isOver) return outcome.status === 'notSettled' ? outcome : { status: 'pending', network: chain.network, payer: channelConfig.payer }
  const standing = await books.find(id)
  const extra = standing === undefined ? {} : { extra: { channelState: stateOf(standing, standing.charged) } }
  const { transaction = '' } = outcome
  return { status: 'settled', transaction, network: chain.network, payer: channelConfig.payer, amount: `${asked.amount}`, ...extra }
}

/** What is set aside, and the channel as it stands then. */
type Aside = { readonly channel: Channel; readonly amount: bigint }

const none = { reason: batchReason('refund_no_balance') }
const tooEarly = 'Too little was bought over this channel for a refund at the seller’s cost. Its payer can withdraw by himself.'

/** The payer's wish with the receiver's consent, as the facilitator takes it (wire.md §11.3). */
async function enriched(
  { chain, payload, submission, authorizer, claimable }: Move<'refund'>,
  { channel, amount }: Aside,
): Promise<Submission> {
  const nonce = channel.funds.refundNonce
  const claim = claimOf(channel)
  const claims = claim === undefined ? [] : [claimable(claim)]
  const own = authorizer === undefined ? undefined : { signer: authorizer, chainId: chain.chainId }
  const consent = own && {
    refundAuthorizerSignature: (await signRefund(payload.channelConfig, { amount, nonce }, own)).signature,
    ...(claims.length === 0 ? {} : { claimAuthorizerSignature: await signClaims(claims, own) }),
  }
  const asked = { amount: `${amount}`, refundNonce: `${nonce}`, claims: claims.map(claimToWire) }
  return { ...submission, payment: { ...submission.payment, payload: { ...submission.payment.payload, ...asked, ...consent } } }
}

/** A row of a claim as it travels. */
export function claimToWire({ voucher, signature, totalClaimed }: VoucherClaim): Readonly<Record<string, unknown>> {
  const { channel, maxClaimableAmount } = voucher
  return { voucher: { channel, maxClaimableAmount: `${maxClaimableAmount}` }, signature, totalClaimed: `${totalClaimed}` }
}

/** The requirements of a call that the receiver makes for himself (wire.md §11.3). */
export function ownRequirements({ network, receiver, token }: { network: string; receiver: string; token: string }): PaymentRequirements {
  return { scheme: 'batch-settlement', network, amount: '0', asset: token, payTo: receiver, maxTimeoutSeconds: 0, extra: {} }
}

// How long a node may lag behind the facilitator's, and how often it is asked meanwhile (ms; wire.md §21).
const seenWithin = 2000
const askedEvery = 150

async function shown(within: number, look: () => Promise<boolean>): Promise<boolean> {
  for (let waited = 0; ; waited += askedEvery) {
    if (await look()) return true
    if (waited >= within) return false
    await new Promise((resolve) => setTimeout(resolve, askedEvery))
  }
}

function refusal({ reason, message }: { readonly reason: string; readonly message?: string }): VoucherRefusal {
  return { reason, ...(message === undefined ? {} : { message }) }
}
