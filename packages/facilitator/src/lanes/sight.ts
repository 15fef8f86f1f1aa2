import type { ChainWriter, FacilitatorScheme, Slot } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'

/** A transaction that was mined. */
export type Found = {
  readonly state: 'mined'
  readonly transaction: string
  readonly status: Parameters<FacilitatorScheme['outcome']>[1]['status']
}

/** What the chain says of a slot: `unknown` when it knows none of its transactions, `expired` when it never will mine one. */
export type Seen = Found | { readonly state: 'unknown' | 'expired' }

/** What the chain says of slots, or nothing when it could not be asked; it never rejects. */
export type Sight = {
  see(slot: Slot): Promise<Seen | undefined>
  /** Whether another transaction has a slot's nonce, in a block that is mined or final. */
  passed(slot: Slot, after: 'mined' | 'final'): Promise<boolean | undefined>
  /** The highest block that nothing undoes. */
  final(): Promise<bigint | undefined>
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
    see,
    async passed(slot, after) {
      const next = await read(() => writer.nonce(signer, { after }))
      if (next === undefined || next <= slot.nonce) return next === undefined ? undefined : false
      const seen = await see(slot)
      return seen && seen.state !== 'mined'
    },
    final: () => read(() => writer.final()),
  }

  async function see({ attempts }: Slot): Promise<Seen | undefined> {
    const states = await Promise.all(attempts.map((signed) => read(() => writer.status(signed))))
    for (const [index, status] of states.entries()) {
      const transaction = attempts[index]?.transaction
      if (status?.state === 'mined' && transaction !== undefined) return { state: 'mined', transaction, status }
    }
    if (states.includes(undefined)) return undefined
    return { state: states.every((status) => status?.state === 'expired') ? 'expired' : 'unknown' }
  }

  async function read<Answer>(ask: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await ask()
    } catch (error) {
      onEvent({ type: 'readFailed', network, error })
      return undefined
    }
  }
}
