import { type Call, isX402Error, type Outcome, type SignedTransaction, type Slot } from '@flow402x/core'
import type { Rider } from './batch.ts'
import type { Slots } from './slots.ts'
import type { SlotsOptions } from './steps.ts'

/** What batches are sent with. */
export type DispatchOptions = Pick<SlotsOptions, 'writer' | 'signer' | 'journal' | 'hold' | 'clock' | 'onEvent' | 'ended' | 'passed'> & {
  readonly slots: Slots
  /** Payments that are to be sent and were not: they stand in line again. */
  readonly back: (riders: readonly Rider[]) => void
  /** A payment for which nothing was sent and nothing will be: anybody may hand it in again. */
  readonly unsent: (rider: Rider, why: { readonly reason: string; readonly error?: unknown }) => Promise<void>
}

/** Sends batches, each in a slot of its own; what the journal did not take goes back. Errors: those of the journal. */
export type Dispatch = (batches: readonly (readonly Rider[])[]) => Promise<void>

/** Signs, writes down, sends. */
export function createDispatch(options: DispatchOptions): Dispatch {
  const { writer, signer, journal, hold, slots, clock, onEvent, back } = options
  const { network } = writer
  return async (batches) => {
    const done = await Promise.allSettled(batches.map(dispatch))
    const failed = done.flatMap((one, index) => (one.status === 'rejected' ? [{ why: one.reason, riders: batches[index] ?? [] }] : []))
    back(failed.flatMap(({ riders }) => riders))
    if (failed[0] !== undefined) throw failed[0].why
  }

  /** Signs, writes down, sends. A batch that cannot be signed for is halved until the payment that prevents it is alone. */
  async function dispatch(batch: readonly Rider[]): Promise<void> {
    const { lease } = hold
    if (lease === undefined) return requeue(batch)
    let signed: SignedTransaction
    try {
      const nonce = await slots.nonce(lease)
      signed = await writer.sign(
        batch.flatMap(({ calls }): readonly Call[] => calls),
        { signer, nonce },
      )
    } catch (error) {
      onEvent({ type: 'notSent', network, signer, error })
      const theirs = isX402Error(error) && error.retry === 'never'
      if (batch.length === 1 || !theirs) return notSigned(batch, error)
      const half = Math.ceil(batch.length / 2)
      await dispatch(batch.slice(0, half))
      return dispatch(batch.slice(half))
    }
    const payments = batch.map(({ id }) => id)
    const since = clock()
    if (!(await journal.prepare(lease, signed, { payments, now: since }))) return requeue(batch)
    const slot: Slot = { network, signer, nonce: signed.nonce, attempts: [signed], payments, state: 'open', since }
    await slots.send(slot)
  }

  async function notSigned(batch: readonly Rider[], error: unknown): Promise<void> {
    slots.doubt()
    for (const rider of batch) await options.unsent(rider, { reason: 'settlement_not_sent', error })
  }

  /** Nothing was written down: the lease has passed on, or somebody took or ended one of the payments. */
  async function requeue(batch: readonly Rider[]): Promise<void> {
    hold.lose()
    for (const rider of batch) {
      const now = await journal.find(rider.id)
      const ended: Outcome | undefined = now?.outcome
      if (ended !== undefined) options.ended(rider.id, ended)
      else if (now === undefined) await options.unsent(rider, { reason: 'settlement_not_sent' })
      else if (now.slot === undefined) back([rider])
      else options.passed(rider.id)
    }
  }
}
