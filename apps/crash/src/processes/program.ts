import type * as z from 'zod/mini'
import { armedTrap, createTraps, type Traps } from './trap.ts'

/**
 * Runs a program in a process of its own: its parent's first message says what it is made of, every later one arms a trap. It
 * answers the first with its URL, and ends with its parent.
 */
export function runProgram<Plan extends { readonly log: string }>(
  plan: z.ZodMiniType<Plan>,
  start: (plan: Plan, traps: Traps) => Promise<string>,
): void {
  let log = ''
  const traps = createTraps(() => log)
  const begin = async (message: unknown): Promise<void> => {
    const given = plan.parse(message)
    log = given.log
    const url = await start(given, traps)
    process.on('message', (next) => {
      traps.arm(armedTrap.parse(next))
      process.send?.({ armed: true })
    })
    process.send?.({ url })
  }
  process.once('disconnect', () => process.exit())
  process.once('message', (message) => void begin(message))
}
