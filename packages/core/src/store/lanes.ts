import type { AtomicRate } from '../protocol/rate.ts'
import type { Grade } from '../stream/rail.ts'

/** What a lane is for all its life. `id` is SHA-256 of its `sid`, in hex: a row gives nobody the lane. */
export type LaneTerms = {
  readonly id: string
  /** Which rail its channel is on. */
  readonly scheme: string
  readonly network: string
  readonly channelId: string
  readonly payer: string
  /** What it delivers, as its route names it. */
  readonly resource: string
  /** Which route's it is, by where that takes ticks: it draws on its credit nowhere else. */
  readonly route: string
  readonly unit: string
  readonly clock: 'wall' | 'media'
  readonly rate: AtomicRate
  readonly grade: Grade
  /** Whether what it did not use is its payer's again. */
  readonly refundable: boolean
  /** Unix milliseconds. */
  readonly openedAt: number
}

/**
 * What a lane has delivered by its last checkpoint: `units` since its beginning (in 10⁻⁹ of one, as all units here), which cost `used` (atomic); and `replayed`, units that
 * were delivered once more without being billed (M25).
 */
export type LaneProgress = { readonly units: bigint; readonly used: bigint; readonly replayed: bigint }

/** What lanes do, as far as others need to know it (streaming.md §7.1). */
export type LaneRowState = 'open' | 'paused' | 'detached' | 'ended'

/**
 * A lane in the store. `owner` delivers over it until `leaseUntil` (Unix ms), and every change names his `epoch`. `wanted`: who asks to be
 * its owner. `reason`: how it ended.
 */
export type LaneRow = LaneTerms &
  LaneProgress & {
    readonly state: LaneRowState
    readonly owner: string
    readonly epoch: number
    readonly leaseUntil: number
    /** When it entered its state (Unix ms). */
    readonly since: number
    readonly wanted?: string
    readonly reason?: string
  }

/** What an owner writes of one of his lanes. */
export type LaneCheckpoint = LaneProgress & {
  readonly id: string
  readonly epoch: number
  readonly state: LaneRowState
  readonly since: number
  readonly reason?: string | undefined
}

/** A lane that is its owner's for some time more; `wanted`: who asks for it. */
export type LaneLease = { readonly id: string; readonly wanted?: string }

/** The lanes of all instances. Every operation is one atomic statement. */
export interface LaneStore {
  /** Writes a new lane down; `false` where one of its id is there. */
  open(lane: LaneRow): Promise<boolean>
  find(id: string): Promise<LaneRow | undefined>
  /**
   * Writes down where lanes of one owner stand; gives the ids of those that are no longer his: he stops them and does not deliver what he
   * holds. An `ended` lane stays as it ended.
   */
  checkpoint(owner: string, lanes: readonly LaneCheckpoint[]): Promise<readonly string[]>
  /** Renews all leases of an owner that have not ended at `now`, in one statement; gives those lanes, and who wants them of him. */
  renew(owner: string, lease: { readonly now: number; readonly until: number }): Promise<readonly LaneLease[]>
  /** Asks the owner of a lane for it: he hears it with his next renewal at the latest. */
  want(id: string, by: string): Promise<void>
  /** Lets go of a lane at once, so that whoever wants it can take it. `false` where it is no longer his. */
  release(owner: string, checkpoint: LaneCheckpoint): Promise<boolean>
  /**
   * Makes another its owner where the lease has ended at `now` and it is not `ended`, raising the epoch; gives the row as it then stands,
   * with the last checkpoint. Nothing where somebody was faster, or its owner lives.
   */
  take(id: string, by: { readonly owner: string; readonly now: number; readonly until: number }): Promise<LaneRow | undefined>
  /**
   * Lanes that have not ended, whose lease and last change of state lie before `before` (Unix ms): their payers get back what they did not
   * use. One that was let go this moment is on its way to another.
   */
  abandoned(before: number): AsyncIterable<LaneRow>
  /** Forgets lanes that ended before `before` (Unix ms), and says how many. */
  purge(before: number): Promise<number>
  /** Messages between instances that share this store, where it can carry any: a lost one costs time and no money. */
  readonly inbox?: LaneInbox
}

/** Tells the owner of a lane, without asking the store, that something came for it at another instance. */
export interface LaneInbox {
  tell(owner: string, message: string): Promise<void>
  /** Hears what is told to an owner until the answer is called. */
  listen(owner: string, hear: (message: string) => void): Promise<() => Promise<void>>
}
