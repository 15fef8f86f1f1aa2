import { type ChildProcess, fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import * as z from 'zod/mini'
import type { ArmedTrap } from '../processes/trap.ts'

/** A process of the shop that can be killed and started again as what it was. */
export type Part = {
  readonly url: string
  /** Lets it die at this step; resolves when it will. */
  arm(trap: ArmedTrap): Promise<void>
  /** Resolves when it has died by kill -9. */
  died(): Promise<void>
  /** Starts it again on the same books and the same port. */
  restart(): Promise<void>
  /** kill -9 from outside, at any moment. */
  kill(): Promise<void>
}

/** Which program of `src/processes`, and what it is made of. */
export type PartPlan = { readonly program: 'seller' | 'channel-seller' | 'facilitator'; readonly plan: Readonly<Record<string, unknown>> }

type Running = { readonly child: ChildProcess; readonly url: string; readonly ended: Promise<NodeJS.Signals | null> }

/** Starts a program in a process of its own. It ends with this process. */
export async function startPart({ program, plan }: PartPlan): Promise<Part> {
  let running = await launch({ program, plan })
  return {
    get url() {
      return running.url
    },
    async arm(trap) {
      const armed = new Promise((resolve) => running.child.once('message', resolve))
      running.child.send(trap)
      await armed
    },
    async died() {
      const signal = await running.ended
      if (signal !== 'SIGKILL') throw new Error(`The ${program} ended by ${signal ?? 'itself'} and not by kill -9.`)
    },
    async restart() {
      await running.ended
      running = await launch({ program, plan })
    },
    async kill() {
      running.child.kill('SIGKILL')
      await running.ended
    },
  }
}

async function launch({ program, plan }: PartPlan): Promise<Running> {
  const execArgv = ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')]
  const child = fork(fileURLToPath(new URL(`../processes/${program}.ts`, import.meta.url)), [], { execArgv })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  child.send(plan)
  const said = await Promise.race([new Promise((resolve) => child.once('message', resolve)), ended])
  const { url } = z.object({ url: z.string() }).parse(said)
  return { child, url, ended }
}
