import type { Call, ChainWriter, JournalStore, Outcome } from '@flow402x/core'
import { facilitatorErrors } from '../engine/errors.ts'
import type { OnEvent } from '../engine/events.ts'
import { createPayers, type Rider } from './batch.ts'
import { createLane, type Lane, type LaneOptions } from './lane.ts'

/** What the lanes of one chain are made of. Times in milliseconds; `clock` in Unix milliseconds. */
export type LanesOptions = Pick<LaneOptions, 'owner' | 'most' | 'leaseFor' | 'shared' | 'replaceAfter' | 'finality'> & {
  readonly journal: JournalStore
  readonly tell: LaneOptions['tell']
  readonly clock: () => number
  readonly onEvent: OnEvent
  /** Whether somebody waits for the end of a payment. */
  readonly waits: (id: string) => boolean
  /** A payment that another process, or this one before it was started again, had put into a slot. */
  readonly recall: (id: string) => Promise<Rider | undefined>
  readonly carried: (id: string, transaction: string) => void
  readonly ended: (id: string, outcome: Outcome) => void
  readonly unsent: LaneOptions['unsent']
}

/** The signers of one chain. */
export type Lanes = {
  /** Whether these calls have a lane. Errors: `facilitator/unknown-signer`. */
  admit(calls: readonly Call[]): void
  /** Puts a payment into the least loaded lane of its signer, or of any where it names none. */
  add(rider: Rider): void
  /** Tells of a payment that may be added soon, until what it gives is called. */
  expect(): () => void
  /** Payments that wait for a signer here or ride in something unmined. */
  load(signer: string): number
  /** The names that its signers have in the journal. */
  readonly names: readonly string[]
  /** Finishes what nobody works on. Errors: those of the journal. */
  recover(): Promise<void>
  /** Looks at the chain soon. */
  poke(): void
  close(): Promise<void>
}

type Signed = { readonly signer: string; readonly lane: Lane }

// So many processes can send at the same time from one signer whose transactions have no order.
const lanesPerSigner = 4

/** The lanes of a chain: one per signer where nonces have an order, else several, so that no process waits for another. */
export function createLanes(writer: ChainWriter, options: LanesOptions): Lanes {
  const { recall, ended, unsent, shared } = options
  const riders = new Map<string, Rider>()
  const coming = new Set<object>()
  const payers = createPayers()
  const perSigner = !writer.ordered && shared ? lanesPerSigner : 1
  const lanes: readonly Signed[] = writer.signers.flatMap((signer) =>
    Array.from({ length: perSigner }, (_, index) => ({ signer, lane: open(signer, index === 0 ? signer : `${signer}#${index + 1}`) })),
  )
  return {
    admit(calls) {
      const stranger = calls.find(({ signer }) => signer !== undefined && !writer.signers.includes(signer))?.signer
      if (stranger !== undefined) throw facilitatorErrors('facilitator/unknown-signer', { signer: stranger, network: writer.network })
    },
    add(rider) {
      riders.set(rider.id, rider)
      const able = lanesFor(rider)
      const ours = able.filter(({ elsewhere }) => !elsewhere)
      best(ours.length > 0 ? ours : able).add(rider)
    },
    expect() {
      const one = {}
      coming.add(one)
      return () => void coming.delete(one)
    },
    load: (signer) => lanes.reduce((sum, one) => (one.signer === signer ? sum + one.lane.load : sum), 0),
    names: lanes.map(({ lane }) => lane.signer),
    async recover() {
      await Promise.all(lanes.map(({ lane }) => lane.recover()))
    },
    poke() {
      for (const { lane } of lanes) lane.poke()
    },
    async close() {
      await Promise.all(lanes.map(({ lane }) => lane.close()))
    },
  }

  function open(signer: string, name: string): Lane {
    const lane: Lane = createLane({
      ...options,
      ...(name === signer ? { writer } : named(name, { signer, writer, onEvent: options.onEvent })),
      signer: name,
      payers,
      coming: () => coming.size > 0,
      wanted: ({ id, settlement }) => riders.has(id) || options.waits(id) || settlement.outcome !== undefined,
      rider: async (id) => riders.get(id) ?? recall(id),
      ended(id, outcome) {
        riders.delete(id)
        ended(id, outcome)
      },
      passed: (id) => riders.delete(id),
      unsent(rider, why) {
        riders.delete(rider.id)
        return unsent(rider, why)
      },
      denied: (waiting) =>
        waiting.filter((rider) => {
          const free = lanesFor(rider).filter((other) => other !== lane && !other.elsewhere)
          if (free.length > 0) best(free).add(rider)
          return free.length === 0
        }),
    })
    return lane
  }

  function lanesFor({ calls }: Rider): readonly Lane[] {
    const named = calls.find(({ signer }) => signer !== undefined)?.signer
    return lanes.filter(({ signer }) => named === undefined || signer === named).map(({ lane }) => lane)
  }

  function best(some: readonly Lane[]): Lane {
    // Without an order one lane holds any number under way, and the others are for other processes.
    const used = writer.ordered ? undefined : some.find(({ held, load }) => held || load > 0)
    return used ?? some.reduce((least, lane) => (lane.load < least.load ? lane : least))
  }
}

/** What a lane works with that the journal knows by another name than its signer's. */
function named(
  name: string,
  { signer, writer, onEvent }: { readonly signer: string; readonly writer: ChainWriter; readonly onEvent: OnEvent },
): Pick<LaneOptions, 'writer' | 'onEvent'> {
  return {
    writer: {
      ...writer,
      sign: async (calls, options) => ({ ...(await writer.sign(calls, { ...options, signer })), signer: name }),
      send: (signed) => writer.send({ ...signed, signer }),
    },
    onEvent: (event) => onEvent('signer' in event ? { ...event, signer } : event),
  }
}
