import type { ChainWriter, FacilitatorScheme, Slot } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'

/** A transaction that was mined. */
export type Found = { readonly transaction: string; readonly status: Parameters<FacilitatorScheme['outcome']>[1]['status'] }

/** What the chain says of slots; it never rejects. */
export type Sight = {
  /** The transaction of a slot that was mined, if one was seen. */
  mined(slot: Slot): Promise<Found | undefined>
  /** Whether the chain says that it knows none of a slot's transactions; nothing when it could not be asked. */
  lost(slot: Slot): Promise<boolean | undefined>
  /** Whether another transaction has a slot's nonce; nothing when the chain could not be asked. */
  passed(slot: Slot): Promise<boolean | undefined>
}

/** Reads one signer's transactions. */
export function createSight({
  writer,
  signer,
  onEvent,
}: {
  readonly writer: ChainWriter
  readonly signer: string
  readonly onEvent: OnEvent
}): Sight {
  const { network } = writer
  return {
    async mined({ attempts }) {
      for (const signed of attempts.toReversed()) {
        try {
          const status = await writer.status(signed)
          if (status.state === 'mined') return { transaction: signed.transaction, status }
        } catch (error) {
          onEvent({ type: 'readFailed', network, error })
        }
      }
      return undefined
    },
    lost,
    async passed(slot) {
      try {
        return (await writer.nonce(signer, { mined: true })) > slot.nonce ? await lost(slot) : false
      } catch (error) {
        onEvent({ type: 'readFailed', network, error })
        return undefined
      }
    },
  }

  async function lost({ attempts }: Slot): Promise<boolean | undefined> {
    try {
      const states = await Promise.all(attempts.map((signed) => writer.status(signed)))
      return states.every(({ state }) => state === 'unknown')
    } catch (error) {
      onEvent({ type: 'readFailed', network, error })
      return undefined
    }
  }
}
