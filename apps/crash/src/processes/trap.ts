import { appendFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import * as z from 'zod/mini'

/** Where a process dies: before or after a call of this method, or during it, which then never answers; one of its arguments has what `where` says. */
export const trap = z.object({
  at: z.string(),
  when: z.enum(['before', 'during', 'after']),
  where: z.optional(z.record(z.string(), z.unknown())),
})

/** Where a process dies: before or after a call of this method, or during it, which then never answers; one of its arguments has what `where` says. */
export type Trap = z.infer<typeof trap>

/** A trap for one purchase: the first call that has any of these words in its arguments, its payer's address or its path. */
export const armedTrap = z.extend(trap, { about: z.array(z.string()) })

/** A trap for one purchase: the first call that has any of these words in its arguments, its payer's address or its path. */
export type ArmedTrap = z.infer<typeof armedTrap>

/** The traps of one process: none is armed before its parent says so. */
export type Traps = {
  arm(trap: ArmedTrap): void
  /** The same object: each call of a method may be the one at which the process dies. */
  lay<Part extends object>(name: string, part: Part): Part
  /** Lets the process die in the middle of this response, or when its last byte has left. */
  layInResponse(response: ServerResponse): void
}

/** Lays the traps of one process; `log` is the file that says where it died. */
export function createTraps(log: () => string): Traps {
  let armed: ArmedTrap | undefined

  return {
    arm(next) {
      armed = next
    },
    lay: (name, part) =>
      new Proxy(part, {
        get(target, method) {
          const value: unknown = Reflect.get(target, method)
          if (typeof value !== 'function') return value
          return (...input: unknown[]) => call(`${name}.${String(method)}`, input, () => Reflect.apply(value, target, input))
        },
      }),
    layInResponse(response) {
      const { write, end } = response
      const half = { at: 'response.write', when: 'after' } as const
      const whole = { at: 'response.end', when: 'after' } as const
      let broken = false
      Object.assign(response, {
        // Of a response in pieces the first one leaves, and no other.
        write: (...input: unknown[]) => {
          if (!is(half)) return Reflect.apply(write, response, input)
          if (!broken) write.call(response, input[0], 'utf8', () => die(half))
          broken = true
          return true
        },
        end: (...input: unknown[]) => {
          if (broken) return response
          if (is(whole)) response.once('finish', () => die(whole))
          return Reflect.apply(end, response, input)
        },
      })
    },
  }

  function is({ at, when }: Trap): boolean {
    return armed?.at === at && armed.when === when
  }

  function call(at: string, input: readonly unknown[], work: () => unknown): unknown {
    const trap = armed
    if (trap?.at !== at || !fits(trap, input)) return work()
    if (trap.when === 'before') die(trap)
    if (trap.when === 'during') {
      // What it asked for is on its way by then, and its answer is heard by nobody.
      Promise.resolve(work()).catch(() => {})
      setTimeout(() => die(trap), 3)
      return new Promise(() => {})
    }
    return Promise.resolve(work()).then(() => die(trap))
  }

  /** kill -9, by its own hand: the signal is there before the call returns. */
  function die({ at, when }: Trap): void {
    appendFileSync(log(), `died ${when} ${at}\n`)
    process.kill(process.pid, 'SIGKILL')
  }
}

function fits({ where = {}, about }: ArmedTrap, input: readonly unknown[]): boolean {
  const has = ([name, wanted]: [string, unknown]): boolean =>
    input.some((one) => typeof one === 'object' && one !== null && Reflect.get(one, name) === wanted)
  // Bytes, keys and messages all spell an address in hex, whatever they put around it.
  const said = inspect(input, { depth: null, maxStringLength: null, maxArrayLength: null }).toLowerCase()
  return Object.entries(where).every(has) && about.some((word) => said.includes(word.toLowerCase().replace(/^0x/, '')))
}
