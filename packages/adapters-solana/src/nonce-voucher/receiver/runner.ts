import {
  type Asset,
  type Channel,
  type ChannelRunner,
  ledRunner,
  type Outcome,
  type PaymentRequirements,
  parsePrice,
  priceInAsset,
  type RunnerOptions,
  type Store,
  type Submission,
} from '@flow402x/core'
import { encodeBase58 } from '../../chain/base58.ts'
import type { RunnerPolicy } from '../../vouchers/policy.ts'
import { type RingVoucher, settleable } from '../../vouchers/ring.ts'
import { channelIdOf } from '../channel.ts'
import { nonceScheme } from '../wire.ts'
import type { NonceBooks } from './books.ts'
import { type NonceRow, readRow, readSignature, withRow } from './row.ts'

/** What a runner works with. */
export type NonceRunnerOptions = RunnerOptions & {
  readonly books: NonceBooks
  readonly store: Pick<Store, 'journal'>
  readonly network: string
  readonly asset: Asset
  readonly policy: RunnerPolicy
  /** Unix milliseconds. */
  readonly clock: () => number
}

type Abortable = { readonly signal?: AbortSignal | undefined }

/**
 * Settles what channels of nonces owe: of each the highest voucher that was consumed to its end. It is written down before anybody is
 * asked, and asked for again until the chain shows what became of its nonce; one of all processes that share a store does it.
 */
export function nonceRunner(options: NonceRunnerOptions): ChannelRunner {
  const { books, store, network, asset, policy, clock, onEvent = () => {} } = options
  const { every = 15_000 } = policy
  const work = settlingWork(options)
  return ledRunner({
    journal: store.journal,
    network,
    name: `${nonceScheme} ${asset.address}`,
    every,
    clock,
    onError: (error) => onEvent({ type: 'error', error }),
    async round(lead, { all, signal }) {
      let [claimed, settled] = [0, 0n]
      // Lanes wait for a settlement that was asked for: of who cannot be reached none is.
      let reached: Promise<unknown> | undefined
      const reach = async (): Promise<void> => {
        reached ??= options.facilitator.supported({ signal })
        await reached
      }
      for await (const channel of books.store.list({ side: 'receiver', owed: true })) {
        const row = readRow(channel)
        if (row === undefined || channel.network !== network || row.channel.asset !== asset.address) continue
        if (!(await lead())) break
        try {
          const moved = await work.settle(channel.id, { all, signal, reach })
          if (moved > 0n) [claimed, settled] = [claimed + 1, settled + moved]
        } catch (error) {
          // One channel that cannot be read keeps no other waiting.
          signal?.throwIfAborted()
          onEvent({ type: 'error', error })
        }
      }
      return { claimed, settled }
    },
  })
}

function settlingWork({ books, network, asset, policy, clock, facilitator, onEvent = () => {} }: NonceRunnerOptions) {
  const inAsset = (price: string): bigint => priceInAsset(parsePrice(price), asset)
  const [amount, atLeast] = [inAsset(policy.amount ?? '$1'), inAsset(policy.atLeast ?? '$0.01')]
  const poisoned = new Set<string>()

  /** Reads a channel anew, and tells when its payer has taken away what he owes. */
  const look = async (id: string, { signal }: Abortable): Promise<void> => {
    const before = await books.find(id)
    await books.learn(id, { signal })
    const now = await books.find(id)
    if (before === undefined || now === undefined) return
    const owed = now.charged - now.funds.claimed
    const hadMore = before.funds.balance > now.funds.balance && now.funds.balance < now.top
    if (hadMore)
      onEvent({ type: 'channelWithdrawing', channelId: id, amount: before.funds.balance - now.funds.balance, owed, before: clock() })
  }

  const isDue = (channel: Channel, { max }: RingVoucher, { settled }: NonceRow, all: boolean): boolean => {
    const worth = max - settled
    const age = (clock() - (channel.owedSince ?? clock())) / 1000
    // Its payer is taking away what was signed for: what is left of it now, or nothing.
    const isLeaving = channel.funds.balance < channel.top
    return all || isLeaving || worth >= amount || (age >= (policy.age ?? 60) && worth >= atLeast)
  }

  /** Chooses what to settle and writes it down; what was written down before is finished first. */
  const choose = (id: string, all: boolean): Promise<Chosen | undefined> =>
    books.change<Chosen | undefined>(id, (channel, row) => {
      if (row.settling !== undefined) return { channel, result: { row, voucher: row.settling } }
      const voucher = settleable(row.ring, { consumed: channel.charged, settled: row.settled })
      // More than there is would fail, and take every voucher of its epoch along.
      if (voucher === undefined || voucher.max > channel.funds.balance || !isDue(channel, voucher, row, all))
        return { channel, result: undefined }
      const settling = { ...voucher, since: clock() }
      return { channel: withRow(channel, { ...row, settling }), result: { row, voucher } }
    })

  const giveUp = (id: string, { row, voucher }: Chosen): Promise<unknown> =>
    books.change(id, (channel, now) => {
      const isSame = now.nonce === row.nonce && now.settling?.max === voucher.max
      const { settling: _, ...rest } = now
      return { channel: isSame ? withRow(channel, rest) : channel, result: undefined }
    })

  return {
    /** Settles one channel where it is due; gives what the chain shows of it. Errors: those of the facilitator, the store and the RPC. */
    async settle(id: string, { all, signal, reach }: Abortable & { readonly all: boolean; reach(): Promise<void> }): Promise<bigint> {
      await look(id, { signal })
      await reach()
      const before = (await books.find(id))?.funds.claimed ?? 0n
      const chosen = await choose(id, all)
      if (chosen === undefined) {
        await poison(id)
        return 0n
      }
      const outcome = await facilitator.settle(submissionOf(chosen, { network, asset }), { signal, claimId: claimIdOf(chosen, network) })
      // Whatever it says, what counts is what became of the nonce (M5, M30).
      await books.learn(id, { signal })
      const after = await books.find(id)
      const row = after && readRow(after)
      const moved = (after?.funds.claimed ?? before) - before
      if (row?.settling !== undefined) {
        if (outcome.status === 'notSettled') await giveUp(id, chosen)
        onEvent(eventOf(id, { outcome, owed: chosen.voucher.max - chosen.row.settled }))
      } else if (moved > 0n) onEvent({ type: 'channelsClaimed', network, transaction: row?.last ?? '', channels: 1, amount: moved })
      return moved
    },
  }

  async function poison(id: string): Promise<void> {
    const channel = await books.find(id)
    const row = channel && readRow(channel)
    const voucher = channel && row && settleable(row.ring, { consumed: channel.charged, settled: row.settled })
    const isLost = channel !== undefined && voucher !== undefined && voucher.max > channel.funds.balance
    if (!isLost) poisoned.delete(id)
    else if (!poisoned.has(id)) {
      poisoned.add(id)
      const owed = channel.charged - channel.funds.claimed
      onEvent({ type: 'channelPoisoned', channelId: id, owed, reason: 'its payer revoked what was approved, or took it away' })
    }
  }
}

type Chosen = { readonly row: NonceRow; readonly voucher: RingVoucher }

function eventOf(id: string, { outcome, owed }: { readonly outcome: Outcome; readonly owed: bigint }) {
  if (outcome.status !== 'notSettled') return { type: 'channelClaimOpen', channels: 1, outcome } as const
  return { type: 'channelPoisoned', channelId: id, owed, reason: outcome.message ?? outcome.reason } as const
}

/** One epoch is settled once: whoever asks again, after a crash or in another process, asks for the same. */
function claimIdOf({ row, voucher }: Chosen, network: string): string {
  return `nonce:${network}:${row.nonce}:${voucher.max}`
}

function submissionOf({ row, voucher }: Chosen, { network, asset }: { readonly network: string; readonly asset: Asset }): Submission {
  const { channel, nonce, settled } = row
  const { signature } = readSignature(voucher.signature) ?? { signature: new Uint8Array() }
  const requirements: PaymentRequirements = {
    scheme: nonceScheme,
    network,
    amount: `${voucher.max - settled}`,
    asset: asset.address,
    payTo: channel.receiver,
    maxTimeoutSeconds: 300,
    extra: { nonceAuthority: channel.nonceAuthority },
  }
  const signed = { channelId: channelIdOf(channel), maxClaimableAmount: `${voucher.max}`, settled: `${settled}`, nonce }
  const payload = { type: 'settle', channel, voucher: { ...signed, signature: encodeBase58(signature) } }
  return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
}
