import { setTimeout as delay } from 'node:timers/promises'
import { type Call, type ChainWriter, isX402Error, type Retry, type SignedTransaction, type TransactionStatus } from '@flow402x/core'
import type { OnEvent } from './events.ts'

/** One transaction to send. */
export type Job = {
  /** What to call; asked when it is the job's turn. */
  readonly plan: () => readonly Call[]
  /** Whether nobody wants it any more; asked before a nonce is taken, never after. */
  readonly cancelled: () => boolean
  /** Keeps the signed bytes. It ends before they are sent, so nothing that may move money is ever known to nobody. */
  readonly keep: (signed: SignedTransaction) => void | Promise<void>
}

/** What became of a job: sent, perhaps sent (the chain must say), or certainly not. */
export type Delivery =
  | { readonly sent: 'yes' | 'perhaps'; readonly signed: SignedTransaction }
  | { readonly sent: 'no'; readonly retry: Retry; readonly cancelled: boolean }

/** The order in which one signer sends. */
export type Lane = { send(job: Job): Promise<Delivery> }

/** The signers of one chain. */
export type Lanes = {
  /** Gives the least loaded lane to `work`, which counts as load until it ends. */
  use<Result>(work: (lane: Lane) => Promise<Result>): Promise<Result>
}

// The same bytes again, for about three seconds: then the next payment shall have its turn.
const pauses = [50, 100, 200, 400, 800, 1600]

/** One ordered lane per signer: nonces follow each other without a gap, and a failed send holds up nobody for long (H9). */
export function createLanes(writer: ChainWriter, { onEvent }: { readonly onEvent: OnEvent }): Lanes {
  const lanes = writer.signers.map((signer) => ({ load: 0, lane: createLane(writer, { signer, onEvent }) }))
  return {
    async use(work) {
      const chosen = lanes.reduce((best, lane) => (lane.load < best.load ? lane : best))
      chosen.load += 1
      try {
        return await work(chosen.lane)
      } finally {
        chosen.load -= 1
      }
    },
  }
}

function createLane(writer: ChainWriter, { signer, onEvent }: { readonly signer: string; readonly onEvent: OnEvent }): Lane {
  const { network } = writer
  // Unknown at first and after every doubtful send: then the chain is asked.
  let next: bigint | undefined
  let last: Promise<unknown> = Promise.resolve()

  return {
    send(job) {
      const turn = last.then(() => run(job))
      last = turn
      return turn
    },
  }

  // Never rejects: the lane goes on whatever happens to one job.
  async function run(job: Job): Promise<Delivery> {
    for (let tries = 1; ; tries += 1) {
      if (job.cancelled()) return { sent: 'no', retry: 'same', cancelled: true }
      let signed: SignedTransaction
      try {
        const calls = job.plan()
        const nonce = next ?? (await writer.nonce(signer))
        signed = await writer.sign(calls, { signer, nonce })
        await job.keep(signed)
      } catch (error) {
        onEvent({ type: 'notSent', network, signer, error })
        return { sent: 'no', retry: isX402Error(error) ? error.retry : 'same', cancelled: false }
      }
      const sent = await deliver(signed)
      // Refused bytes may have had a nonce that this key used elsewhere: then a fresh one is what they lacked.
      const stale = sent === 'no' && next !== undefined && tries < 3
      next = sent === 'yes' ? signed.nonce + 1n : undefined
      if (sent === 'yes') onEvent({ type: 'sent', network, signer, nonce: signed.nonce, transaction: signed.transaction })
      if (sent !== 'no') return { sent, signed }
      if (!stale) return { sent, retry: 'same', cancelled: false }
    }
  }

  /** A failed send proves nothing (the answer may be what was lost), so the same bytes go out again until the chain has them. */
  async function deliver(signed: SignedTransaction): Promise<Delivery['sent']> {
    const { transaction, nonce } = signed
    let doubtful = false
    for (let attempt = 1; ; attempt += 1) {
      try {
        await writer.send(signed)
        return 'yes'
      } catch (error) {
        onEvent({ type: 'sendFailed', network, signer, nonce, transaction, attempt, error })
        doubtful ||= !isX402Error(error) || error.moneyMoved !== 'no'
      }
      const state = await stateOf(transaction)
      if (state === 'mined') return 'yes'
      doubtful ||= state === undefined
      // Bytes that are in the pool are no error when they come again: refused twice and mined never, they were not taken.
      if (attempt > 1 && !doubtful) return 'no'
      const pause = pauses[attempt - 1]
      if (pause === undefined) return 'perhaps'
      await delay(pause)
    }
  }

  async function stateOf(transaction: string): Promise<TransactionStatus['state'] | undefined> {
    try {
      return (await writer.status(transaction)).state
    } catch (error) {
      onEvent({ type: 'readFailed', network, error })
      return undefined
    }
  }
}
