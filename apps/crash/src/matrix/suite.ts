import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { incomeIn, transfersTo } from '../world/books.ts'
import type { Habit } from '../world/buyer.ts'
import type { Place } from '../world/places.ts'
import { evm, type Rail, type RailPlan } from '../world/rail.ts'
import { startWorld, type World } from '../world/world.ts'
import { crash, type Result } from './crash.ts'
import type { Row } from './rows.ts'

/** Which crashes, with which buyers, on which books: a file of its own for each process where no place is said. */
export type CrashSuite = {
  readonly name: string
  readonly cases: readonly (readonly [row: Row, habit: Habit])[]
  /** On which chain the shops are paid; an EVM chain unless told. */
  readonly on?: RailPlan
  readonly places?: () => Promise<{ readonly claims?: Place; readonly journal?: Place; stop(): Promise<void> }>
}

// Most of a crash is waiting for leases to end, so several shops crash side by side.
const shops = 4

/** Every case in a shop of its own; when all is over, the books of each shop are those of the chain. */
export function testCrashes({ name, cases, on = evm, places = async () => ({ stop: async () => {} }) }: CrashSuite): void {
  describe(name, () => {
    let rail: Rail
    let opened: Awaited<ReturnType<typeof places>>
    let worlds: World[] = []
    const free: World[] = []
    const waiting: ((world: World) => void)[] = []

    beforeAll(async () => {
      ;[rail, opened] = await Promise.all([on.start(), places()])
      const { claims, journal } = opened
      worlds = await Promise.all(
        Array.from({ length: shops }, () => startWorld({ rail, ...(claims && { claims }), ...(journal && { journal }) })),
      )
      free.push(...worlds)
    })
    afterAll(async () => {
      await Promise.all(worlds.map((world) => world.stop()))
      await opened?.stop()
      await rail?.stop()
    })

    async function inShop(work: (world: World) => Promise<Result>): Promise<Result> {
      const world = free.pop() ?? (await new Promise<World>((resolve) => waiting.push(resolve)))
      const result = await work(world)
      // A shop whose crash did not end as it should is given to nobody else.
      const next = waiting.shift()
      if (next === undefined) free.push(world)
      else next(world)
      return result
    }

    describe.concurrent('a process dies', () => {
      for (const [row, habit] of cases) {
        it(`the ${row.process}: ${row.step}; its buyer ${habit}`, async () => {
          const result = await inShop((world) => crash(world, row, habit))
          expect(result).toEqual({ found: row.found, ...row.ends[habit] })
        })
      }
    })

    it('the books of every shop are those of the chain, to the atomic unit, and no nonce is missing', async () => {
      let income = 0n
      for (const world of worlds) {
        const [booked, moved] = [await incomeIn(world), await transfersTo(world)]
        expect(booked).toBe(moved.reduce((sum, { value }) => sum + value, 0n))
        income += booked
        expect(await rail.hasGap(world.signer)).toBe(false)
      }
      expect(income).toBeGreaterThan(0n)
      if (rail.used === undefined) return
      // Every price is above a cent, and half of it was used.
      const moved = await Promise.all(worlds.map(transfersTo))
      for (const { value } of moved.flat()) expect(value / 1000n).toBe(5n)
    })
  })
}
