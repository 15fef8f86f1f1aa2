import { fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { BudgetStore, ChannelStore, ClaimStore, JournalStore, LogStore, OutboxStore } from '@flow402x/core'
import * as z from 'zod/mini'

/** How a store is made in a process of its own: a module by URL, the name of its function, and its arguments. */
export type StoreProgram = { readonly module: string; readonly make: string; readonly arguments: readonly unknown[] }

/** A store in another process; `kill` is kill -9. */
export type StoreProcess = {
  readonly claims: Pick<ClaimStore, 'claim' | 'find' | 'update'>
  readonly budgets: BudgetStore
  readonly logs: LogStore
  readonly journal: Pick<JournalStore, 'begin' | 'bury' | 'lease' | 'prepare'>
  readonly outbox: Pick<OutboxStore, 'put' | 'take' | 'done'>
  readonly channels: Omit<ChannelStore, 'list'>
  kill(): Promise<void>
}

const reply = z.object({ id: z.number(), result: z.optional(z.unknown()), error: z.optional(z.string()) })

/** Starts a process that holds the store, and resolves when it has opened it. */
export async function startStoreProcess(program: StoreProgram): Promise<StoreProcess> {
  const inSource = import.meta.url.endsWith('.ts')
  const file = new URL(inSource ? '../../store-process.ts' : './store-process.js', import.meta.url)
  const execArgv = inSource ? ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')] : []
  const child = fork(fileURLToPath(file), [], { serialization: 'advanced', execArgv })
  const waiting = new Map<number, (answer: z.infer<typeof reply>) => void>()
  let last = 0
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void ended.then(() => {
    for (const [id, settle] of waiting) settle({ id, error: 'the process ended' })
  })
  child.on('message', (message) => {
    const answer = z.parse(reply, message)
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  const answered = (id: number) => new Promise<z.infer<typeof reply>>((resolve) => waiting.set(id, resolve))
  const opened = answered(0)
  child.send(program)
  const { error: failure } = await opened
  if (failure !== undefined) throw new Error(`${program.module} ${program.make}: ${failure}`)

  async function call<Result>(part: string, method: string, input: readonly unknown[]): Promise<Result> {
    last += 1
    const id = last
    const answer = answered(id)
    child.send({ id, part, method, arguments: [...input] })
    const { result, error } = await answer
    if (error !== undefined) throw new Error(error)
    // It is what this very method of the store gave in the other process.
    return result as Result
  }
  return {
    claims: {
      claim: (...input) => call('claims', 'claim', input),
      find: (...input) => call('claims', 'find', input),
      update: (...input) => call('claims', 'update', input),
    },
    budgets: {
      reserve: (...input) => call('budgets', 'reserve', input),
      commit: (...input) => call('budgets', 'commit', input),
      release: (...input) => call('budgets', 'release', input),
      use: (...input) => call('budgets', 'use', input),
    },
    logs: { consume: (...input) => call('logs', 'consume', input) },
    journal: {
      begin: (...input) => call('journal', 'begin', input),
      bury: (...input) => call('journal', 'bury', input),
      lease: (...input) => call('journal', 'lease', input),
      prepare: (...input) => call('journal', 'prepare', input),
    },
    outbox: {
      put: (...input) => call('outbox', 'put', input),
      take: (...input) => call('outbox', 'take', input),
      done: (...input) => call('outbox', 'done', input),
    },
    channels: {
      find: (...input) => call('channels', 'find', input),
      open: (...input) => call('channels', 'open', input),
      update: (...input) => call('channels', 'update', input),
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
