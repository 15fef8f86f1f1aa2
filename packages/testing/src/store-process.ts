import * as z from 'zod/mini'
import type { OpenedStore } from './suites/stores/store.ts'

// A store in a process of its own, for `testStore`: told a module, a function of it and arguments, it makes the store and
// answers calls of its parts until it is killed.

const program = z.object({ module: z.string(), make: z.string(), arguments: z.array(z.unknown()) })
const call = z.object({
  id: z.number(),
  part: z.enum(['claims', 'budgets', 'logs', 'journal', 'channels', 'outbox']),
  method: z.string(),
  arguments: z.array(z.unknown()),
})

process.once('message', (message) => reply(0, open(message)))
process.once('disconnect', () => process.exit())

async function open(message: unknown): Promise<void> {
  const { module, make, arguments: input } = z.parse(program, message)
  const made: Readonly<Record<string, (...input: unknown[]) => OpenedStore | Promise<OpenedStore>>> = await import(module)
  const store = await made[make]?.(...input)
  process.on('message', (next) => {
    const { id, part, method, arguments: values } = z.parse(call, next)
    const work: unknown = Reflect.apply(Reflect.get(store?.[part] ?? {}, method), undefined, values)
    reply(id, work)
  })
}

function reply(id: number, work: unknown): void {
  Promise.resolve(work).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
}
