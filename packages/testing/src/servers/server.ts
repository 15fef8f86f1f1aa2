import { type SpawnOptions, spawn } from 'node:child_process'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { testingErrors } from '../chains/errors.ts'
import { endWithParent } from './child.ts'

/** A real server on a loopback port, with its data in a folder of its own. It ends with this process, however that ends. */
export type TestServer = {
  readonly url: string
  /** kill -9, and a new start on the same data and port. */
  crash(): Promise<void>
  stop(): Promise<void>
}

/** Who runs a server; nobody in particular where this process is no root. */
export type RunAs = { readonly uid?: number; readonly gid?: number }

/** How a server is started: `ready` is what it prints when it listens. */
export type ServerPlan = {
  readonly url: string
  readonly folder: string
  readonly command: string
  readonly arguments: readonly string[]
  readonly ready: RegExp
  readonly runAs: RunAs
}

/** A folder below the system's own for temporary ones, owned by who runs the server. */
export async function serverFolder(name: string, { uid, gid }: RunAs): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `flow402x-${name}-`))
  if (uid !== undefined && gid !== undefined) await chown(folder, uid, gid)
  return folder
}

/** Starts a server and resolves when it listens. Errors: `testing/server-exited`. */
export async function startServer(plan: ServerPlan): Promise<TestServer> {
  let running = await launch(plan)
  return {
    url: plan.url,
    async crash() {
      await running.end('SIGKILL')
      running = await relaunch(plan)
    },
    async stop() {
      // To PostgreSQL and Redis alike: stop at once, in order.
      await running.end('SIGINT')
      await rm(plan.folder, { recursive: true, force: true })
    },
  }
}

type Running = { end(signal: 'SIGKILL' | 'SIGINT'): Promise<void> }

// The children of a server that was killed take a moment to notice, and hold its memory and its port until then.
async function relaunch(plan: ServerPlan): Promise<Running> {
  for (let left = 20; ; left -= 1) {
    try {
      return await launch(plan)
    } catch (error) {
      if (left === 0) throw error
      await wait(100)
    }
  }
}

async function launch({ command, arguments: args, folder, ready, runAs }: ServerPlan): Promise<Running> {
  const options: SpawnOptions = { cwd: folder, env: { LC_ALL: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...runAs }
  const child = spawn(command, [...args], options)
  let output = ''
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(String(error)))
    child.once('close', (code, signal) => resolve(String(signal ?? code)))
  })
  const { pid } = child
  if (pid !== undefined) endWithParent(child, { pid, folder })
  await new Promise<void>((resolve, reject) => {
    const read = (text: string): void => {
      output = (output + text).slice(-4000)
      if (ready.test(output)) resolve()
    }
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', read)
    void ended.then((exit) => reject(testingErrors('testing/server-exited', { command, exit, output: output.trim() })))
  })
  return {
    async end(signal) {
      child.kill(signal)
      await ended
    },
  }
}
