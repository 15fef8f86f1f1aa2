import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'

/**
 * A shell that waits on a pipe only this process holds: even after kill -9 the pipe closes, and the shell ends the child and
 * removes the folder it worked in.
 */
export function endWithParent(child: ChildProcess, { pid, folder }: { readonly pid: number; readonly folder?: string }): void {
  const script = 'read _; kill -9 "$1"; [ -z "$2" ] || { sleep 1; rm -rf "$2"; }'
  const named = folder === undefined ? [String(pid)] : [String(pid), folder]
  const guard = spawn('/bin/sh', ['-c', script, 'sh', ...named], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  guard.unref()
  // Where there is no such shell, an orderly exit still ends the child.
  guard.once('error', () => process.once('exit', () => child.kill('SIGKILL')))
  // Ended first, so that it never signals a process id that has passed to another.
  child.once('exit', () => guard.kill('SIGKILL'))
}

/** A loopback port that is free now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
