import { type ChildProcess, fork } from 'node:child_process'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a process has used since it began: CPU in microseconds, resident memory in bytes. */
export type Usage = { readonly cpu: number; readonly memory: number }

/** The calls that a role answers. */
export type Calls = { readonly [name: string]: (argument: never) => unknown }

/** A process that plays one part of a benchmark: a seller, a payer, a facilitator. */
export type Role<Ready, Part extends Calls> = {
  readonly ready: Ready
  call<Name extends keyof Part & string>(name: Name, argument: Parameters<Part[Name]>[0]): Promise<Awaited<ReturnType<Part[Name]>>>
  usage(): Promise<Usage>
  stop(): Promise<void>
}

/** Which role to start, its argument, and where its CPU profile goes, if anywhere. */
export type RoleOptions = { readonly argument: unknown; readonly profiles?: string | undefined; readonly name?: string }

type Message = { readonly id?: number; readonly result?: unknown; readonly failure?: string; readonly ready?: unknown }

let started = 0

/** Starts a role of `src/roles` in a process of its own and resolves when it is ready. It ends with this process. */
export async function startRole<Ready, Part extends Calls = Record<never, never>>(
  file: string,
  { argument, profiles, name = file }: RoleOptions,
): Promise<Role<Ready, Part>> {
  started += 1
  // A folder for each: the thread that loads modules writes a profile of its own.
  const profile = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}/${started}-${name}`]
  const path = fileURLToPath(new URL(`../roles/${file}.ts`, import.meta.url))
  const flags = ['--import', new URL('source-hook.mjs', import.meta.url).href, '--conditions=@flow402x/source', ...profile]
  return startFile(path, { argument, flags })
}

/** Starts a file that plays a role and resolves when it is ready. */
export async function startFile<Ready, Part extends Calls = Record<never, never>>(
  path: string,
  { argument, flags = [] }: { readonly argument: unknown; readonly flags?: readonly string[] },
): Promise<Role<Ready, Part>> {
  const env = { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' }
  const child = fork(path, [JSON.stringify(argument)], { execArgv: [...flags], env })
  const { ask, ready, gone } = conversation<Ready>(child, basename(path))
  return {
    ready: await ready,
    // Each role file declares the functions it answers with, and its callers name that declaration.
    call: (call, given) => ask(call, given) as Promise<never>,
    // Every role answers it so.
    usage: () => ask('usage', undefined) as Promise<Usage>,
    async stop() {
      if (child.connected) child.disconnect()
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await gone
      clearTimeout(late)
    },
  }
}

/** Runs `work` with roles that are stopped afterwards, whatever happens. */
export async function withRoles<Result>(
  starts: readonly Promise<{ stop(): Promise<void> }>[],
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    await Promise.all(starts)
    return await work()
  } finally {
    const all = await Promise.allSettled(starts)
    await Promise.all(all.map((one) => (one.status === 'fulfilled' ? one.value.stop() : undefined)))
  }
}

function conversation<Ready>(child: ChildProcess, file: string) {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let asked = 0
  let isReady: (ready: Ready) => void = () => {}
  let failed: (error: Error) => void = () => {}
  const ready = new Promise<Ready>((resolve, reject) => {
    isReady = resolve
    failed = reject
  })
  child.on('message', (message: Message) => {
    // The role itself said so, in the words of its own file.
    if ('ready' in message) isReady(message.ready as Ready)
    const one = waiting.get(message.id ?? -1)
    if (one === undefined) return
    waiting.delete(message.id ?? -1)
    if (message.failure === undefined) one.resolve(message.result)
    else one.reject(new Error(`${file}: ${message.failure}`))
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void gone.then(() => {
    const error = new Error(`The role ${file} ended before it answered.`)
    failed(error)
    for (const { reject } of waiting.values()) reject(error)
  })
  const ask = (name: string, argument: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      asked += 1
      waiting.set(asked, { resolve, reject })
      child.send({ id: asked, name, argument })
    })
  return { ask, ready, gone }
}
