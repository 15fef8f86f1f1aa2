import type { Calls, Usage } from './role.ts'

/** The argument this role was started with. */
export function roleArgument<Argument>(): Argument {
  // `startRole` wrote it, typed by the row that starts the role.
  return JSON.parse(process.argv[2] ?? 'null') as Argument
}

/** Says that this role is ready and answers its calls until the process that started it lets go. */
export function playRole(ready: unknown, calls: Calls = {}): void {
  process.on('message', (message: { readonly id: number; readonly name: string; readonly argument: never }) => {
    const { id, name, argument } = message
    const call = name === 'usage' ? usage : calls[name]
    Promise.resolve()
      .then(() => call?.(argument))
      .then((result) => process.send?.({ id, result }))
      .catch((error: unknown) => process.send?.({ id, failure: String(error) }))
  })
  // An orderly exit writes the CPU profile.
  process.once('disconnect', () => process.exit(0))
  process.send?.({ ready })
}

/** The CPU this process has used, in microseconds, and its resident memory. */
export function usage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpu: user + system, memory: process.memoryUsage.rss() }
}

/** Runs `work` so many times, with so many of them under way at once. */
export async function inFlight(
  { count, most }: { readonly count: number; readonly most: number },
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const run = async () => {
    while (next < count) {
      const index = next
      next += 1
      await work(index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, count) }, run))
}
