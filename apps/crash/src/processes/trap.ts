import { appendFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import * as z from 'zod/mini'

/**
 * Where a process dies: at the first call of a method, before or after it, whose last argument or result has what `where` says.
 */
export const trap = z.object({
  at: z.string(),
  when: z.enum(['before', 'after']),
  where: z.optional(z.record(z.string(), z.unknown())),
})

/** Where a process dies: at the first call of a method, before or after it, whose last argument or result has what `where` says. */
export type Trap = z.infer<typeof trap>

/** The traps of one process: none is armed before its parent says so. */
export type Traps = {
  arm(trap: Trap): void
  /** The same object: each call of a method may be the one at which the process dies. */
  lay<Part extends object>(name: string, part: Part): Part
  /** Lets the process die in the middle of this response, or when its last byte has left. */
  layInResponse(response: ServerResponse): void
}

/** Lays the traps of one process; `log` is the file that says where it died. */
export function createTraps(log: () => string): Traps {
  let armed: Trap | undefined

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
    if (trap?.at !== at) return work()
    if (trap.when === 'before' && fits(trap, input.at(-1))) die(trap)
    const result = work()
    if (trap.when === 'before') return result
    return Promise.resolve(result).then((value) => {
      if (fits(trap, input.at(-1)) || fits(trap, value)) die(trap)
      return value
    })
  }

  /** kill -9, by its own hand: the signal is there before the call returns. */
  function die({ at, when }: Trap): void {
    appendFileSync(log(), `died ${when} ${at}\n`)
    process.kill(process.pid, 'SIGKILL')
  }
}

function fits({ where = {} }: Trap, value: unknown): boolean {
  const has = (name: string, wanted: unknown): boolean => typeof value === 'object' && value !== null && Reflect.get(value, name) === wanted
  return Object.entries(where).every(([name, wanted]) => has(name, wanted))
}
