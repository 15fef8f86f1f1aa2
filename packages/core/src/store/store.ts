import type { Channel, ChannelKey, ChannelSide } from '../channel/channel.ts'
import type { ClaimStore, LogStore } from './claims.ts'
import type { JournalStore } from './journal.ts'
import type { LaneStore } from './lanes.ts'
import type { OutboxStore } from './outbox.ts'
import type { BudgetStore, LedgerStore, PayeeStore } from './payer.ts'
import type { ViewStore } from './views.ts'

/** The books of channels. Every operation is one atomic statement; vouchers have no other claim than their channel's row. */
export interface ChannelStore {
  find(key: ChannelKey): Promise<Channel | undefined>
  /** Writes a channel down where there is none, and gives the one that stands. */
  open(channel: Channel): Promise<Channel>
  /** Puts `next` in the place of a channel whose epoch is still this one, raising it; else nothing and `undefined`. */
  update(channel: Channel, next: Channel): Promise<Channel | undefined>
  /** The channels of a side, in any order; with `owed` those of which something is charged and not claimed. */
  list(options: { readonly side: ChannelSide; readonly owed?: boolean }): AsyncIterable<Channel>
}

/** A store as the packages share it: one value, every engine the same. Redis has claims, budgets and logs alone (M18). */
export interface Store {
  readonly claims: ClaimStore
  readonly budgets: BudgetStore
  readonly ledger: LedgerStore
  readonly payees: PayeeStore
  readonly logs: LogStore
  readonly journal: JournalStore
  readonly outbox: OutboxStore
  readonly channels: ChannelStore
  readonly lanes: LaneStore
  readonly views: ViewStore
  /** Lets go of files and connections; what was answered before is safe without it. */
  close(): Promise<void>
}
