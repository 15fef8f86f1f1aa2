import { createHash, randomBytes } from 'node:crypto'
import { type Blockhash, blockhash, getBase58Decoder } from '@solana/kit'
import * as z from 'zod/mini'

/** How far a block is from being undone, weakest first. */
export const commitmentSchema = z.enum(['processed', 'confirmed', 'finalized'])

/** How far a block is from being undone. */
export type Commitment = z.infer<typeof commitmentSchema>

/** A blockhash and the last block height at which a transaction that names it is taken. */
export type Lifetime = { readonly blockhash: Blockhash; readonly lastValidBlockHeight: bigint }

/** The slots of a local chain: one block each, which time or a command brings. */
export type Slots = {
  /** The newest slot of a commitment. */
  slot(commitment: Commitment): bigint
  blockHeight(commitment: Commitment): bigint
  heightOf(slot: bigint): bigint
  commitmentOf(slot: bigint): Commitment
  hashOf(slot: bigint): Blockhash
  lifetime(commitment: Commitment): Lifetime
  /** Whether the newest block of a commitment takes transactions that name this blockhash. */
  isValid(hash: string, commitment: Commitment): boolean
  /** Unix seconds of the chain's clock. */
  now(): number
  /** Unix seconds of a slot that is not too long ago. */
  timeOf(slot: bigint): number | undefined
  advance(slots: number): void
  moveClock(seconds: number): void
  /** Calls back after every step; the answer ends that. */
  onStep(listener: (step: { readonly from: bigint; readonly to: bigint }) => void): () => void
  stop(): void
}

/** Blocks for which a blockhash is good. */
export const blockhashBlocks = 150n

/** Slots by which a commitment is behind the newest. */
const lag = { processed: 0n, confirmed: 1n, finalized: 32n } as const

// Devnet's order of size, so that nothing is written for small numbers; skipped slots keep block heights below slots.
const firstSlot = 447_552_000n
const skippedSlots = 12_000_000n
const rememberedTimes = 10_000

/** Counts slots, one every `slotTime` milliseconds, or only on command where that is 0. */
export function createSlots({ slotTime }: { slotTime: number }): Slots {
  const seed = randomBytes(32)
  const listeners = new Set<Parameters<Slots['onStep']>[0]>()
  const recent = new Map<string, bigint>()
  const times: { slot: bigint; time: number }[] = []
  let newest = firstSlot
  let ahead = 0
  const slot = (commitment: Commitment): bigint => newest - lag[commitment]
  const heightOf = (of: bigint): bigint => of - skippedSlots
  const now = (): number => Math.floor(Date.now() / 1000) + ahead
  const hashOf = (of: bigint): Blockhash =>
    blockhash(getBase58Decoder().decode(createHash('sha256').update(seed).update(String(of)).digest()))
  // No block of any commitment takes an older hash.
  const oldest = (): bigint => newest - blockhashBlocks - lag.finalized

  const step = (slots: bigint): void => {
    const from = newest
    newest += slots
    for (let each = from + 1n > oldest() ? from + 1n : oldest(); each <= newest; each++) recent.set(hashOf(each), each)
    for (const [hash, of] of recent) {
      if (of >= oldest()) break
      recent.delete(hash)
    }
    times.push({ slot: newest, time: now() })
    if (times.length > rememberedTimes) times.shift()
    for (const listener of listeners) listener({ from, to: newest })
  }
  newest -= 1n + blockhashBlocks + lag.finalized
  step(1n + blockhashBlocks + lag.finalized)
  const timer = slotTime > 0 ? setInterval(() => step(1n), slotTime) : undefined

  return {
    slot,
    blockHeight: (commitment) => heightOf(slot(commitment)),
    heightOf,
    commitmentOf: (of) => (of <= slot('finalized') ? 'finalized' : of <= slot('confirmed') ? 'confirmed' : 'processed'),
    hashOf,
    lifetime: (commitment) => ({
      blockhash: hashOf(slot(commitment)),
      lastValidBlockHeight: heightOf(slot(commitment)) + blockhashBlocks,
    }),
    isValid(hash, commitment) {
      const of = recent.get(hash)
      // A block knows no hash that is younger than itself.
      return of !== undefined && of <= slot(commitment) && of + blockhashBlocks >= slot(commitment)
    },
    now,
    timeOf: (of) => (of > newest ? undefined : times.findLast((each) => each.slot <= of)?.time),
    advance: (slots) => step(BigInt(slots)),
    moveClock(seconds) {
      ahead += seconds
      step(1n)
    },
    onStep(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    stop() {
      clearInterval(timer)
      listeners.clear()
    },
  }
}
