import type { JournalStore, SignerLease } from '../store/journal.ts'
import type { ChannelRunner, RunnerRound } from './vouchers.ts'

/** One round of work. Before each step that sends something it asks `lead` whether it still leads (M6). */
export type LedRound = (
  lead: () => Promise<boolean>,
  options: { readonly all: boolean; readonly signal: AbortSignal | undefined },
) => Promise<Omit<RunnerRound, 'led'>>

/** How a runner leads. `name` and `network` are those of its lease, `every` are milliseconds between rounds. */
export type LedRunnerOptions = {
  readonly journal: Pick<JournalStore, 'lease' | 'release'>
  readonly network: string
  readonly name: string
  readonly every: number
  /** Unix milliseconds. */
  readonly clock: () => number
  readonly round: LedRound
  /** Another led before, or nobody did. */
  readonly onNewLead?: () => void
  readonly onError: (error: unknown) => void
  /** What is still to be done at the end, while it leads. */
  readonly onClose?: () => Promise<void>
}

// For how many rounds who leads is taken to be alive.
const leaseRounds = 4

/** Works in rounds, of which one at a time of all that share a journal does any: by a lease, which a dead one loses. */
export function ledRunner({ journal, network, name, every, clock, ...work }: LedRunnerOptions): ChannelRunner {
  const owner = crypto.randomUUID()
  const stopped = new AbortController()
  let lease: SignerLease | undefined
  let running: Promise<unknown> | undefined
  let timer: ReturnType<typeof setTimeout> | undefined

  const lead = async (): Promise<boolean> => {
    const [now, before] = [clock(), lease?.epoch]
    lease = await journal.lease({ network, signer: name, owner, now, until: now + leaseRounds * every })
    if (lease?.epoch !== before) work.onNewLead?.()
    return lease !== undefined
  }
  const round: ChannelRunner['round'] = async ({ all = false, signal } = {}) => {
    if (!(await lead())) return { led: false, claimed: 0, settled: 0n }
    return { led: true, ...(await work.round(lead, { all, signal })) }
  }
  const rounds = async (): Promise<void> => {
    try {
      await round({ signal: stopped.signal })
    } catch (error) {
      if (!stopped.signal.aborted) work.onError(error)
    }
    if (stopped.signal.aborted) return
    timer = setTimeout(() => {
      running = rounds()
    }, every)
    // Runtimes without Node's timers have nothing to keep alive.
    if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  }

  return {
    round,
    start() {
      running ??= rounds()
    },
    async close() {
      stopped.abort()
      clearTimeout(timer)
      await running
      await work.onClose?.()
      if (lease !== undefined) await journal.release(lease)
    },
  }
}
