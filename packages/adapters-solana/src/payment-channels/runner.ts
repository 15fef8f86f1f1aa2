import {
  type Asset,
  type Channel,
  type ChannelRunner,
  isX402Error,
  ledRunner,
  parsePrice,
  priceInAsset,
  type RunnerOptions,
  type Store,
} from '@flow402x/core'
import { greater } from '@flow402x/core/stream'
import { type Caller, callChannel } from '../transfer/channel-call.ts'
import type { RunnerPolicy } from '../vouchers/policy.ts'
import { settleable } from '../vouchers/ring.ts'
import { type ChannelBooks, readRow, readStored } from './receiver.ts'
import { settlementOf } from './settlement.ts'
import { channelsScheme } from './wire.ts'

/** What a runner works with. It settles by transactions of `caller`, who is the payee of every channel. */
export type ChannelRunnerOptions = Pick<RunnerOptions, 'onEvent'> & {
  readonly books: ChannelBooks
  readonly store: Pick<Store, 'journal'>
  readonly caller: Caller
  readonly network: string
  readonly asset: Asset
  readonly receiver: string
  readonly policy: RunnerPolicy
  /** Unix milliseconds. */
  readonly clock: () => number
}

type Abortable = { readonly signal?: AbortSignal | undefined }

// A voucher's check is the chain's own; settling and paying out take this at most.
const computeUnits = 200_000n

/**
 * Settles what channels of the program owe: of each the highest voucher that was consumed to its end. What was sent twice settles once, so
 * nothing is written down before; one of all processes that share a store does it.
 */
export function programRunner(options: ChannelRunnerOptions): ChannelRunner {
  const { books, store, caller, network, asset, receiver, policy, clock, onEvent = () => {} } = options
  const { every = 15_000 } = policy
  const inAsset = (price: string): bigint => priceInAsset(parsePrice(price), asset)
  const [amount, atLeast] = [inAsset(policy.amount ?? '$1'), inAsset(policy.atLeast ?? '$0.01')]
  const told = new Set<string>()

  const isDue = (channel: Channel, worth: bigint, all: boolean): boolean => {
    const age = (clock() - (channel.owedSince ?? clock())) / 1000
    // Its payer is leaving: what is not settled within his grace period is lost.
    const isLeaving = channel.funds.withdrawing > 0n
    return all || isLeaving || worth >= amount || (age >= (policy.age ?? 60) && worth >= atLeast)
  }
  const tellOnce = (channel: Channel, owed: bigint, reason: string): void => {
    if (told.has(channel.id)) return
    told.add(channel.id)
    onEvent({ type: 'channelPoisoned', channelId: channel.id, owed, reason })
  }

  /** Settles one channel where it is due; gives what the chain shows of it. */
  async function settle(id: string, { all, signal }: Abortable & { readonly all: boolean }): Promise<bigint> {
    const before = await books.find(id)
    await books.learn(id, { signal })
    const [channel, stored] = [await books.find(id), await readStored(caller.rpc, id, { signal })]
    const ring = (channel && readRow(channel)?.ring) ?? []
    if (before === undefined || channel === undefined) return 0n
    const owed = greater(channel.charged - channel.funds.claimed, 0n)
    if (channel.funds.withdrawing > 0n && before.funds.withdrawing === 0n)
      onEvent({
        type: 'channelWithdrawing',
        channelId: id,
        amount: channel.funds.withdrawing,
        owed,
        before: (channel.funds.withdrawalAt + (stored?.gracePeriod ?? 0)) * 1000,
      })
    const due = settleable(ring, { consumed: channel.charged, settled: channel.funds.claimed })
    if (due === undefined || !isDue(channel, due.max - channel.funds.claimed, all)) return 0n
    const now = BigInt(Math.floor(clock() / 1000))
    const isOver = stored === undefined || (stored.status !== 'open' && stored.status !== 'closing')
    if (isOver || due.max > stored.deposit) {
      tellOnce(channel, owed, 'its payer has closed it, or put in less than was delivered')
      if (isOver) return 0n
    }
    const instructions = settlementOf({ channel: id, stored, network, receiver, ring, consumed: channel.charged, now, slot: 0n })
    if (instructions.length === 0) return 0n
    try {
      const transaction = await callChannel(caller, { id, instructions, computeUnits, signal })
      await books.learn(id, { signal })
      const moved = ((await books.find(id))?.funds.claimed ?? 0n) - channel.funds.claimed
      told.delete(id)
      if (moved > 0n) onEvent({ type: 'channelsClaimed', network, transaction, channels: 1, amount: moved })
      return moved
    } catch (error) {
      // It was refused before it was signed: it costs nothing to try again in the next round.
      if (!isX402Error(error, 'solana/not-filled')) throw error
      tellOnce(channel, owed, error.message)
      return 0n
    }
  }

  return ledRunner({
    journal: store.journal,
    network,
    name: `${channelsScheme} ${asset.address}`,
    every,
    clock,
    onError: (error) => onEvent({ type: 'error', error }),
    async round(lead, { all, signal }) {
      let [claimed, settled] = [0, 0n]
      for await (const channel of books.store.list({ side: 'receiver', owed: true })) {
        if (channel.network !== network || readRow(channel)?.program.mint !== asset.address) continue
        if (!(await lead())) break
        try {
          const moved = await settle(channel.id, { all, signal })
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
