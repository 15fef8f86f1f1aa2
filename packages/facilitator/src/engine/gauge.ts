import type { ChainWriter } from '@flow402x/core'
import type { Teller } from '../watch/telling.ts'
import type { OnEvent } from './events.ts'

/** Whether the signers of a chain can still pay for fees (H33). */
export type Gauge = {
  /** Whether any has enough; what is not known counts as enough. */
  readonly filled: boolean
  /** The signers that have too little. */
  readonly dry: readonly string[]
  /** Reads now, and from then on every while. It never rejects. */
  start(): Promise<void>
  stop(): void
}

const readAgain = 15_000

/** Watches what a chain's signers hold: below what their writer asks of them nothing more is taken on, until it is there again. */
export function createGauge(
  writer: ChainWriter,
  { onEvent, every = readAgain, tellDry }: { readonly onEvent: OnEvent; readonly every?: number; readonly tellDry?: Teller['dry'] },
): Gauge {
  const { network, signers } = writer
  const low = new Set<string>()
  let started: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  return {
    get filled() {
      return low.size < signers.length
    },
    get dry() {
      return [...low]
    },
    start() {
      started ??= run()
      return started
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }

  async function run(): Promise<void> {
    if (writer.balance === undefined) return
    await Promise.all(signers.map(read))
    if (stopped) return
    timer = setTimeout(() => void run(), every)
    timer.unref()
  }

  async function read(signer: string): Promise<void> {
    try {
      const balance = await writer.balance?.(signer)
      if (balance === undefined) return
      const isLow = balance.held < balance.least
      if (isLow) await tellDry?.({ network, signer, ...balance })
      if (low.has(signer) === isLow) return
      if (low.delete(signer)) return onEvent({ type: 'refilled', network, signer, ...balance })
      low.add(signer)
      onEvent({ type: 'runningDry', network, signer, ...balance })
    } catch (error) {
      onEvent({ type: 'readFailed', network, error })
    }
  }
}
