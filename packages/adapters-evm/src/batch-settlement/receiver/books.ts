import { type Changed, type Channel, type ChannelFunds, type ChannelStore, channelBook, learnFunds, leaveStretch } from '@flow402x/core'
import * as z from 'zod/mini'
import { hexText } from '../../chain/address.ts'
import type { EvmReader } from '../../chain/reader.ts'
import { stateCalls, stateIn } from '../calls.ts'
import type { ChannelConfig } from '../channel.ts'
import { bookId, channelConfig, type VoucherClaim } from '../wire.ts'

/** What the receiver's books need of a chain. */
export type ChannelSight = Pick<EvmReader, 'network' | 'read'>

type Reading = { readonly now: number; readonly signal?: AbortSignal | undefined }

/** The receiver's books of the channels of one network, and what the escrow says of them. */
export interface ReceiverBooks {
  readonly store: ChannelStore
  find(id: string): Promise<Channel | undefined>
  /** As `ChannelBook.change`; ends of runs that were told with `leave` are written with it. */
  change<Result>(id: string, step: (channel: Channel) => Changed<Result>): Promise<Result | undefined>
  /**
   * As `change`, upon what was lately read of the channel: the escrow is asked where nothing fresh is known, and once more before it is
   * said that there `isShort` of money, since its payer may have filled it since. `missing` where there is no such channel, `unknown`
   * where the escrow does not answer.
   */
  changeFresh<Result extends object>(
    id: string,
    step: (channel: Channel) => Changed<Result>,
    options: Reading & { readonly config: ChannelConfig; readonly isShort: (result: Result) => boolean },
  ): Promise<Result | 'missing' | 'unknown'>
  /** Ends a run whose answer has left: written with the next change of its channel, or soon. */
  leave(id: string, run: string): void
  /** Asks the escrow of channels, in one call, and writes down what it says; `found` opens those that are not in the books. */
  learn(
    ids: readonly string[],
    options: Reading & { readonly found?: (id: string) => ChannelConfig | undefined },
  ): Promise<ReadonlyMap<string, ChannelFunds>>
  /** Writes down what is still to be written. */
  flush(): Promise<void>
}

// How long an answer that has left may stand in memory alone: who dies before is believed once that nobody had it.
const writtenWithin = 250
const channelsAtOnce = 100

/** Books over a store. */
export function receiverBooks({ chain, store }: { readonly chain: ChannelSight; readonly store: ChannelStore }): ReceiverBooks {
  const book = channelBook(store, { side: 'receiver' })
  const { change } = book
  let timer: ReturnType<typeof setTimeout> | undefined

  const flush = async (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    await book.flush()
  }
  const learn: ReceiverBooks['learn'] = async (ids, { now, signal, found }) => {
    const learned = new Map<string, ChannelFunds>()
    for (let at = 0; at < ids.length; at += channelsAtOnce) {
      const some = ids.slice(at, at + channelsAtOnce)
      const answers = await chain.read(
        some.flatMap((id) => stateCalls(bookId(id))),
        { signal },
      )
      for (const [index, id] of some.entries()) {
        const state = stateIn(answers.slice(index * 3, index * 3 + 3))
        // An answer that does not come must not let old numbers pay.
        if (state === undefined) continue
        const { balance, totalClaimed: claimed, withdrawing, withdrawRequestedAt: withdrawalAt, refundNonce } = state
        const funds = { balance, claimed, withdrawing, withdrawalAt, refundNonce, readAt: now }
        learned.set(id, funds)
        const known = await change(id, (channel) => learnFunds(channel, funds))
        const config = known === undefined && balance > 0n ? found?.(id) : undefined
        if (config === undefined) continue
        const { network } = chain
        await book.open({ id, network, config, funds, refunding: 0n, charged: claimed, top: claimed, held: [], free: [] })
        // Whoever was faster opened it with what he read before.
        await change(id, (channel) => (channel.funds.readAt < now ? learnFunds(channel, funds) : { channel, result: false }))
      }
    }
    return learned
  }
  return {
    store,
    change,
    learn,
    find: (id) => book.find(id),
    async changeFresh(id, step, { now, signal, config, isShort }) {
      const attempt = (since: number) =>
        change(id, (channel) => {
          if (channel.funds.readAt < since) return { channel, result: undefined }
          const { channel: next, result } = step(channel)
          return { channel: next, result: { result, readAt: channel.funds.readAt } }
        })
      const first = await attempt(now - freshFor(config.withdrawDelay))
      if (first !== undefined && !(first.readAt < now && isShort(first.result))) return first.result
      const learned = (await learn([id], { now, signal, found: () => config })).get(id)
      if (learned === undefined || learned.balance === 0n) return 'missing'
      return (await attempt(learned.readAt))?.result ?? 'unknown'
    },
    leave(id, run) {
      book.later(id, (channel) => leaveStretch(channel, { id: run }).channel)
      if (timer !== undefined) return
      // A store that fails here fails the next change as well, where it is told.
      timer = setTimeout(() => void flush().catch(() => undefined), writtenWithin)
      // Runtimes without Node's timers have nothing to keep alive.
      if (typeof timer === 'object' && 'unref' in timer) timer.unref()
    },
    flush,
  }
}

/** A third of the delay after which a withdrawal is over, from 30 seconds to 5 minutes (wire.md §21); in milliseconds. */
function freshFor(withdrawDelay: number): number {
  return Math.min(Math.max(withdrawDelay / 3, 30), 300) * 1000
}

/** What a channel's row of a claim is: all that was charged, as far as it is in the escrow; nothing where all of that is claimed. */
export function claimOf({ config, voucher, charged, funds }: Channel): VoucherClaim | undefined {
  const channel = z.safeParse(channelConfig, config)
  const signature = z.safeParse(hexText(), voucher?.signature)
  // The escrow pays no more than is in it, and one row that asks for more takes the whole batch down.
  const totalClaimed = least(charged, voucher?.max ?? 0n, funds.balance)
  if (!channel.success || !signature.success || voucher === undefined || totalClaimed <= funds.claimed) return undefined
  return { voucher: { channel: channel.data, maxClaimableAmount: voucher.max }, signature: signature.data, totalClaimed }
}

function least(first: bigint, ...others: readonly bigint[]): bigint {
  let smallest = first
  for (const amount of others) if (amount < smallest) smallest = amount
  return smallest
}

/** A channel as its payer is told of it (wire.md §11.5); `charged` from where he goes on. */
export function stateOf({ id, funds }: Channel, charged: bigint): Readonly<Record<string, unknown>> {
  return {
    channelId: id,
    balance: `${funds.balance}`,
    totalClaimed: `${funds.claimed}`,
    withdrawRequestedAt: funds.withdrawalAt,
    refundNonce: `${funds.refundNonce}`,
    chargedCumulativeAmount: `${charged}`,
  }
}
