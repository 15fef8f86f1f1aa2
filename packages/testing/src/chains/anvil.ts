import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Readable } from 'node:stream'
import type { X402Error } from '@flow402x/core'
import { endWithParent } from '../servers/child.ts'
import { testingErrors } from './errors.ts'

/** A running anvil; `ended` resolves when it runs no more, with the error for whoever still wants it. */
export type Anvil = { readonly rpcUrl: string; readonly pid: number; readonly ended: Promise<X402Error>; stop(): Promise<void> }

/**
 * Starts anvil on a free loopback port and resolves when it listens. It ends with this process, however that ends.
 *
 * Errors: `testing/anvil-missing`, `testing/anvil-exited`; the signal's reason when aborted.
 */
export async function startAnvil(options: {
  chainId: number
  anvilPath?: string | undefined
  signal?: AbortSignal | undefined
}): Promise<Anvil> {
  options.signal?.throwIfAborted()
  const binary = options.anvilPath ?? npmBinary()
  const child = spawn(binary, anvilArguments(options.chainId), {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own: Ctrl-C in a terminal reaches the parent alone, which may still have payments to finish.
    detached: process.platform !== 'win32',
    env: {},
  })
  const ended = endOf(child, binary)
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 2000)
    await ended
    clearTimeout(late)
  }
  const { pid } = child
  if (pid === undefined) throw await ended
  endWithParent(child, { pid })
  const started = new AbortController()
  try {
    const gone = ended.then((error) => Promise.reject(error))
    const port = await Promise.race([portOf(child.stdout), aborted(options.signal, started.signal), gone])
    return { rpcUrl: `http://127.0.0.1:${port}`, pid, ended, stop }
  } catch (error) {
    await stop()
    throw error
  } finally {
    started.abort()
  }
}

function anvilArguments(chainId: number): string[] {
  // Unpruned, anvil writes every block's state to disk and leaves it there; its default block holds only 30 M gas.
  return ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(chainId), '--prune-history', '256', '--gas-limit', '200000000']
}

/** The binary itself: the package's own `anvil` is a Node launcher that a signal would not reach through. */
function npmBinary(): string {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const platformPackage = `@foundry-rs/anvil-${process.platform}-${architecture}`
  try {
    const launcher = createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json')
    const manifest = createRequire(launcher).resolve(`${platformPackage}/package.json`)
    return path.join(path.dirname(manifest), 'bin', process.platform === 'win32' ? 'anvil.exe' : 'anvil')
  } catch (cause) {
    throw testingErrors('testing/anvil-missing', { binary: platformPackage, cause })
  }
}

function endOf(child: ChildProcess, binary: string): Promise<X402Error> {
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-2000)
  })
  return new Promise((resolve) => {
    child.once('error', (cause) => resolve(testingErrors('testing/anvil-missing', { binary, cause })))
    child.once('close', (code, signal) =>
      resolve(testingErrors('testing/anvil-exited', { exit: signal ?? `exit code ${code}`, output: output.trim() })),
    )
  })
}

async function portOf(stdout: Readable): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const read = (chunk: string): void => {
      text += chunk
      const port = /Listening on 127\.0\.0\.1:(\d+)/.exec(text)?.[1]
      if (port === undefined) return
      // Keeps flowing without a listener: anvil logs each request and would block on a full pipe.
      stdout.off('data', read).resume()
      resolve(port)
    }
    stdout.setEncoding('utf8').on('data', read)
  })
}

function aborted(signal: AbortSignal | undefined, until: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true, signal: until })
  })
}
