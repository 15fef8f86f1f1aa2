import type { ChainWriter, JournalStore, Outcome } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'
import { createPayers, type Rider } from './batch.ts'
import { createLane, type Lane, type LaneOptions } from './lane.ts'

/** What the lanes of one chain are made of. Times in milliseconds; `clock` in Unix milliseconds. */
export type LanesOptions = Pick<LaneOptions, 'owner' | 'most' | 'leaseFor' | 'shared' | 'replaceAfter' | 'finality'> & {
  readonly journal: JournalStore
  readonly clock: () => number
  readonly onEvent: OnEvent
  /** A payment that another process, or this one before it was started again, had put into a slot. */
  readonly recall: (id: string) => Promise<Rider | undefined>
  readonly carried: (id: string, transaction: string) => void
  readonly ended: (id: string, outcome: Outcome) => void
  readonly unsent: LaneOptions['unsent']
}

/** The signers of one chain. */
export type Lanes = {
  /** Puts a payment into the least loaded lane. */
  add(rider: Rider): void
  /** Finishes what nobody works on. Errors: those of the journal. */
  recover(): Promise<void>
  /** Looks at the chain soon. */
  poke(): void
  close(): Promise<void>
}

/** One ordered lane per signer. */
export function createLanes(writer: ChainWriter, options: LanesOptions): Lanes {
  const { recall, ended, unsent } = options
  const riders = new Map<string, Rider>()
  const payers = createPayers()
  const lanes: readonly Lane[] = writer.signers.map((signer) =>
    createLane({
      ...options,
      writer,
      signer,
      payers,
      wanted: (id) => riders.has(id),
      rider: async (id) => riders.get(id) ?? recall(id),
      ended(id, outcome) {
        riders.delete(id)
        ended(id, outcome)
      },
      unsent(rider, why) {
        riders.delete(rider.id)
        return unsent(rider, why)
      },
      denied(waiting, from) {
        const free = lanes.filter((lane) => lane !== from && !lane.elsewhere)
        if (free.length === 0) return waiting
        for (const rider of waiting) least(free).add(rider)
        return []
      },
    }),
  )
  return {
    add(rider) {
      riders.set(rider.id, rider)
      const ours = lanes.filter(({ elsewhere }) => !elsewhere)
      least(ours.length > 0 ? ours : lanes).add(rider)
    },
    async recover() {
      await Promise.all(lanes.map((lane) => lane.recover()))
    },
    poke() {
      for (const lane of lanes) lane.poke()
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()))
    },
  }
}

function least(lanes: readonly Lane[]): Lane {
  return lanes.reduce((best, lane) => (lane.load < best.load ? lane : best))
}
