import type { ChainWriter, TransactionStatus } from '@flow402x/core'
import type { OnEvent } from './events.ts'

/** A transaction that the chain has mined, whatever it did there. */
export type Mined = TransactionStatus & { readonly state: 'mined' }

/** Waits for transactions of one chain. */
export type Receipts = {
  /** Resolves when the transaction is mined, or with nothing when the time is over or the watch was stopped. */
  wait(transaction: string): Promise<Mined | undefined>
  /** Every wait ends now, and so does each that begins later. */
  stop(): void
}

// Fast enough that a payer does not notice it, slow enough that an hour without a block costs one request a second.
const fastest = 50
const slowest = 1000

/**
 * One watcher for all waiting transactions of a chain: however many wait, one round asks for all of them in one tick, so
 * that a batching transport sends one request. It polls fast while transactions are mined and slows down while none is.
 */
export function watchReceipts(
  writer: ChainWriter,
  { timeout, onEvent }: { readonly timeout: number; readonly onEvent: OnEvent },
): Receipts {
  const waiting = new Map<string, Set<(mined: Mined | undefined) => void>>()
  let interval = fastest
  let timer: NodeJS.Timeout | undefined
  let lastRound = 0
  let inRound = false
  let stopped = false

  return {
    wait(transaction) {
      if (stopped) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        const waiters = waiting.get(transaction) ?? new Set()
        waiting.set(transaction, waiters)
        const late = setTimeout(() => end(undefined), timeout)
        const end = (mined: Mined | undefined): void => {
          clearTimeout(late)
          waiters.delete(end)
          if (waiters.size === 0) waiting.delete(transaction)
          resolve(mined)
        }
        waiters.add(end)
        interval = fastest
        schedule()
      })
    },
    stop() {
      stopped = true
      clearTimeout(timer)
      for (const transaction of [...waiting.keys()]) finish(transaction, undefined)
    },
  }

  function schedule(): void {
    if (inRound || stopped || waiting.size === 0) return
    clearTimeout(timer)
    timer = setTimeout(() => void round(), Math.max(0, lastRound + interval - performance.now()))
  }

  async function round(): Promise<void> {
    inRound = true
    lastRound = performance.now()
    interval = Math.min(interval * 1.5, slowest)
    const asked = [...waiting.keys()].map(async (transaction) => {
      const status = await read(transaction)
      if (status?.state !== 'mined') return
      interval = fastest
      finish(transaction, status)
    })
    await Promise.all(asked)
    inRound = false
    schedule()
  }

  async function read(transaction: string): Promise<TransactionStatus | undefined> {
    try {
      return await writer.status(transaction)
    } catch (error) {
      onEvent({ type: 'readFailed', network: writer.network, error })
      return undefined
    }
  }

  function finish(transaction: string, mined: Mined | undefined): void {
    for (const end of [...(waiting.get(transaction) ?? [])]) end(mined)
  }
}
