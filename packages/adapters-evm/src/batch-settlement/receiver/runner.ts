import {
  type Asset,
  beforeClaim,
  type Channel,
  type ChannelRunner,
  learnFunds,
  ledRunner,
  type Outcome,
  parsePrice,
  priceInAsset,
  type RunnerOptions,
  type Store,
  type Submission,
  sameAddress,
} from '@flow402x/core'
import { decodeWord, hexSchema } from '../../chain/abi.ts'
import type { EvmReader } from '../../chain/reader.ts'
import { toHex } from '../../crypto/bytes.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { receiverCall } from '../calls.ts'
import { claimBatchDigest } from '../channel.ts'
import { sortClaims } from '../claims.ts'
import { claimedIn, sweptIn } from '../events.ts'
import { claimEntries, signClaims } from '../signing.ts'
import { batchReason, mostSettles, type VoucherClaim } from '../wire.ts'
import { claimOf, type ReceiverBooks } from './books.ts'
import { escrowWatch, eventsOf } from './escrow-watch.ts'
import { claimToWire, ownRequirements } from './moves.ts'

/** When what channels owe is claimed. */
export type RunnerPolicy = {
  /** As soon as one channel owes so much: "$1" unless told. */
  readonly amount?: string
  /** What has been owed for so many seconds: 600 unless told, and never more than a third of the channel's withdraw delay. */
  readonly age?: number
  /** Less than this is claimed only when its payer withdraws, since it costs more than it brings: "$0.01" unless told. */
  readonly atLeast?: string
  /**
   * Milliseconds between rounds, in each of which the escrow is asked once for withdrawals: 15,000 unless told. After four that a process
   * missed another one claims.
   */
  readonly every?: number
}

/** What a runner works with. */
export type ChannelRunnerOptions = RunnerOptions & {
  readonly chain: EvmReader
  readonly books: ReceiverBooks
  readonly store: Pick<Store, 'journal'>
  readonly asset: Asset
  readonly authorizer: EvmSigner | undefined
  /** A row of a claim as the escrow takes it. */
  readonly claimable: (row: VoucherClaim) => VoucherClaim
  readonly policy: RunnerPolicy
  /** Unix milliseconds. */
  readonly clock: () => number
}

// The most claims of one transaction (wire.md §21).
const rowsAtOnce = 100
// A row that would fail is tried again when it has changed, or after so long (ms).
const poisonedFor = 600_000

/** What a claim came to: the rows that the chain took, and what their receivers were paid with it. */
type Made = { readonly rows: readonly Row[]; readonly paid: ReadonlyMap<string, bigint> }

/** A channel's row of a claim, and what it brings. */
type Row = { readonly id: string; readonly claim: VoucherClaim; readonly owed: bigint }

/**
 * Claims what channels owe and pays it out. One of all processes that share a store does it, by a lease; that two do is no harm, since
 * claims name totals and the escrow skips what it knows. So what a crash left is done again.
 */
export function channelRunner(options: ChannelRunnerOptions): ChannelRunner {
  const { chain, books, store, clock, onEvent = () => {}, policy, asset } = options
  const { every = 15_000 } = policy
  const watch = escrowWatch(chain)
  const work = roundWork(options)
  // Receivers for whom something may be claimed and not paid out: whatever became of a claim, it is seen there.
  const unpaid = new Set<string>()
  return ledRunner({
    journal: store.journal,
    network: chain.network,
    name: `channels ${asset.address.toLowerCase()} ${options.authorizer?.address.toLowerCase() ?? ''}`.trim(),
    every,
    clock,
    // Who leads anew does not know what happened meanwhile.
    onNewLead: () => watch.forget(),
    onError: (error) => onEvent({ type: 'error', error }),
    onClose: () => books.flush(),
    async round(lead, { all, signal }) {
      const happened = await watch.look({ signal })
      await work.learn(happened ?? (await work.watched()), signal)
      if (happened === undefined) for (const receiver of await work.receivers()) unpaid.add(receiver)
      let [claimed, settled] = [0, 0n]
      for (const batch of batches(await work.due(all))) {
        if (!(await lead())) break
        const { rows, paid } = await work.claim(batch, signal)
        claimed += rows.length
        for (const { claim } of batch) unpaid.add(claim.voucher.channel.receiver)
        for (const [receiver, amount] of paid) {
          settled += amount
          unpaid.delete(receiver)
        }
      }
      for (const receiver of unpaid) {
        const swept = await work.payOut(receiver, signal)
        settled += swept ?? 0n
        if (swept !== undefined) unpaid.delete(receiver)
      }
      return { claimed, settled }
    },
  })
}

/** The steps of a round. */
function roundWork(options: ChannelRunnerOptions) {
  const { chain, books, clock, facilitator, onEvent = () => {}, policy, asset, authorizer, claimable } = options
  const inAsset = (price: string): bigint => priceInAsset(parsePrice(price), asset)
  const [amount, atLeast] = [inAsset(policy.amount ?? '$1'), inAsset(policy.atLeast ?? '$0.01')]
  // What must not be tried again at once, with the row's epoch and until when.
  const poisoned = new Map<string, { readonly owed: bigint; readonly until: number }>()

  const isOurs = ({ network, config }: Channel): boolean =>
    network === chain.network && typeof config.token === 'string' && sameAddress(config.token, asset.address)
  const poison = (id: string, owed: bigint, reason: string): void => {
    poisoned.set(id, { owed, until: clock() + poisonedFor })
    onEvent({ type: 'channelPoisoned', channelId: id, owed, reason })
  }
  const isPoisoned = (id: string, owed: bigint): boolean => {
    const known = poisoned.get(id)
    return known !== undefined && known.owed === owed && known.until > clock()
  }
  const rowOf = (channel: Channel): Row | undefined => {
    const claim = claimOf(channel)
    return claim && { id: channel.id, claim, owed: claim.totalClaimed - channel.funds.claimed }
  }
  const settle = async (payload: Readonly<Record<string, unknown>>, who: { receiver: string; claimId: string }): Promise<Outcome> => {
    const requirements = ownRequirements({ network: chain.network, receiver: who.receiver, token: asset.address })
    const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
    return facilitator.settle(submission, { claimId: who.claimId })
  }

  return {
    /** What must be looked at by whoever does not know what happened: channels that owe, and those over which something flows. */
    async watched(): Promise<readonly string[]> {
      const ids: string[] = []
      for await (const channel of books.store.list({ side: 'receiver' })) {
        if (isOurs(channel) && (channel.owedSince !== undefined || channel.lanes !== undefined)) ids.push(channel.id)
      }
      return ids
    },
    async receivers(): Promise<readonly string[]> {
      const found = new Set<string>()
      for await (const channel of books.store.list({ side: 'receiver' })) if (isOurs(channel)) found.add(String(channel.config.receiver))
      return [...found]
    },
    async learn(ids: readonly string[], signal: AbortSignal | undefined): Promise<void> {
      const known = await Promise.all(ids.map((id) => books.find(id)))
      const ours = known.flatMap((channel) => (channel !== undefined && isOurs(channel) ? [channel] : []))
      const learned = await books.learn(
        ours.map(({ id }) => id),
        { now: clock(), signal },
      )
      for (const { id, config, charged, funds } of ours) {
        const now = learned.get(id)
        if (now === undefined || now.withdrawing === 0n || now.withdrawalAt === funds.withdrawalAt) continue
        const before = (now.withdrawalAt + Number(config.withdrawDelay)) * 1000
        onEvent({ type: 'channelWithdrawing', channelId: id, amount: now.withdrawing, owed: charged - now.claimed, before })
      }
    },
    async due(all: boolean): Promise<readonly Row[]> {
      const rows: Row[] = []
      for await (const channel of books.store.list({ side: 'receiver', owed: true })) {
        const row = isOurs(channel) ? rowOf(channel) : undefined
        if (row === undefined) {
          const owed = channel.charged - channel.funds.claimed
          // It is out of the escrow: withdrawn before it was claimed.
          if (isOurs(channel) && !isPoisoned(channel.id, owed)) poison(channel.id, owed, batchReason('cumulative_exceeds_balance'))
          continue
        }
        const { receiverAuthorizer, withdrawDelay } = row.claim.voucher.channel
        const age = (clock() - (channel.owedSince ?? 0)) / 1000
        const isOld = age >= Math.min(policy.age ?? 600, withdrawDelay / 3) && row.owed >= atLeast
        if (!(all || isOld || row.owed >= amount || channel.funds.withdrawing > 0n) || isPoisoned(row.id, row.owed)) continue
        if (authorizer !== undefined && !sameAddress(authorizer.address, receiverAuthorizer)) {
          poison(row.id, row.owed, batchReason('authorizer_address_mismatch'))
        } else rows.push(row)
      }
      return rows
    },
    /** Claims a batch and has its receivers paid with it; says what the chain took of it, and who got how much. */
    async claim(batch: readonly Row[], signal: AbortSignal | undefined): Promise<Made> {
      await books.learn(
        batch.map(({ id }) => id),
        { now: clock(), signal },
      )
      const fresh = await Promise.all(
        batch.map(({ id }) =>
          books.change(id, (channel) => {
            const claimed = beforeClaim(channel)
            return { channel: claimed, result: claimed }
          }),
        ),
      )
      const rowed = fresh.flatMap((channel) => (channel && rowOf(channel)) ?? [])
      const standing = rowed.map((row) => ({ ...row, claim: claimable(row.claim) }))
      const { good, bad } = await sortClaims(
        standing.map(({ claim }) => claim),
        { chain, signal },
      )
      const byClaim = new Map(standing.map((row) => [row.claim, row]))
      for (const { claim, reason } of bad) {
        const row = byClaim.get(claim)
        if (row !== undefined) poison(row.id, row.owed, reason)
      }
      const rows = good.flatMap((claim) => byClaim.get(claim) ?? [])
      const [first] = rows
      if (first === undefined) return { rows: [], paid: new Map() }
      const claims = rows.map(({ claim }) => claim)
      const { chainId } = chain
      const { receiver } = first.claim.voucher.channel
      const consent = authorizer && { claimAuthorizerSignature: await signClaims(claims, { signer: authorizer, chainId }) }
      const payload = { type: 'claim', claims: claims.map(claimToWire), ...consent }
      const receivers = new Set(rows.map((row) => row.claim.voucher.channel.receiver))
      const settles = [...receivers].slice(0, mostSettles).map((each) => ({ receiver: each, token: asset.address }))
      const claimId = claimIdOf(chainId, claims)
      let outcome = await settle({ ...payload, settles }, { receiver, claimId })
      // One who cannot be paid must not keep all others from their claims.
      if (outcome.status === 'notSettled' && outcome.reason === batchReason('settle_simulation_failed'))
        outcome = await settle(payload, { receiver, claimId })
      if (outcome.status !== 'settled') {
        onEvent({ type: 'channelClaimOpen', channels: rows.length, outcome })
        return { rows: [], paid: new Map() }
      }
      return attribute(rows, outcome.transaction)
    },
    /** Pays out what was claimed; nothing where there is nothing yet, or nobody knows. */
    async payOut(receiver: string, signal: AbortSignal | undefined): Promise<bigint | undefined> {
      const token = asset.address
      const [answer] = await chain.read([receiverCall(hexSchema.parse(receiver), hexSchema.parse(token))], { signal })
      const [total, paid] = answer?.success === true ? [decodeWord(answer.data), decodeWord(answer.data, 1)] : []
      if (total === undefined || paid === undefined || total <= paid) return undefined
      const outcome = await settle(
        { type: 'settle', receiver, token },
        { receiver, claimId: `settle:${chain.network}:${receiver}:${token}:${total}` },
      )
      if (outcome.status !== 'settled') {
        onEvent({ type: 'channelClaimOpen', channels: 0, outcome })
        return undefined
      }
      const swept = BigInt(outcome.amount ?? total - paid)
      onEvent({ type: 'channelsSettled', network: chain.network, transaction: outcome.transaction, receiver, token, amount: swept })
      return swept
    },
  }

  /** What a transaction claimed, by its events alone: a row that was skipped brought nothing (M16). */
  async function attribute(rows: readonly Row[], transaction: string): Promise<Made> {
    const events = await eventsOf(chain, transaction)
    const totals = claimedIn(events)
    const taken = rows.filter(({ id }) => totals.has(id))
    await Promise.all([...totals].map(([id, claimed]) => books.change(id, (channel) => learnFunds(channel, { ...channel.funds, claimed }))))
    const amount = taken.reduce((sum, { owed }) => sum + owed, 0n)
    onEvent({ type: 'channelsClaimed', network: chain.network, transaction, channels: taken.length, amount })
    const token = hexSchema.parse(asset.address)
    const paid = new Map<string, bigint>()
    for (const receiver of new Set(rows.map(({ claim }) => claim.voucher.channel.receiver))) {
      const swept = sweptIn(events, { receiver, token })
      if (swept === undefined) continue
      paid.set(receiver, swept)
      onEvent({ type: 'channelsSettled', network: chain.network, transaction, receiver, token: asset.address, amount: swept })
    }
    return { rows: taken, paid }
  }
}

/** The same claims have the same id, so that asking again after a crash asks for the same transaction. */
function claimIdOf(chainId: bigint, claims: readonly VoucherClaim[]): string {
  return `claim:${toHex(claimBatchDigest(chainId, claimEntries(claims, chainId)))}`
}

/** Rows that one signature can claim together, as many as one transaction takes. */
function batches(rows: readonly Row[]): readonly (readonly Row[])[] {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const { receiverAuthorizer } = row.claim.voucher.channel
    const key = receiverAuthorizer.toLowerCase()
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  return [...groups.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / rowsAtOnce) }, (_, index) => group.slice(index * rowsAtOnce, (index + 1) * rowsAtOnce)),
  )
}
