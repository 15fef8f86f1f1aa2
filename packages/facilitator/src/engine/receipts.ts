import type { ChainWriter, TransactionStatus } from '@flow402x/core'
import type { OnEvent } from './events.ts'

/** Waits for transactions of one chain. */
export type Receipts = {
  /**
   * Resolves when the transaction is mined. When the time is over, with what the chain said last, and with nothing where it
   * said nothing or the watch was stopped.
   */
  wait(transaction: string): Promise<TransactionStatus | undefined>
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
  const waiting = new Map<string, Set<Waiter>>()
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
        const waiter: Waiter = {
          said: undefined,
          end(status) {
            clearTimeout(late)
            waiters.delete(waiter)
            if (waiters.size === 0) waiting.delete(transaction)
            resolve(status)
          },
        }
        const late = setTimeout(() => waiter.end(waiter.said), timeout)
        waiters.add(waiter)
        interval = fastest
        schedule()
      })
    },
    stop() {
      stopped = true
      clearTimeout(timer)
      for (const waiter of [...waiting.values()].flatMap((waiters) => [...waiters])) waiter.end(undefined)
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
      if (status === undefined) return
      if (status.state === 'mined') interval = fastest
      for (const waiter of [...(waiting.get(transaction) ?? [])]) {
        if (status.state === 'mined') waiter.end(status)
        else waiter.said = status
      }
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
}

type Waiter = { said: TransactionStatus | undefined; readonly end: (status: TransactionStatus | undefined) => void }
