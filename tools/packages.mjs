import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Packs every public package as it would be published and has publint and attw judge the tarball.

const folder = mkdtempSync(join(tmpdir(), 'flow402x-pack-'))
let failures = 0
for (const name of readdirSync('packages').sort()) {
  const path = join('packages', name)
  if (JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')).private) continue
  const output = join(folder, name)
  run('pnpm', ['pack', '--pack-destination', output], path)
  const [tarball] = readdirSync(output)
  if (tarball === undefined) throw new Error(`pnpm pack left no tarball for ${name}`)
  run('publint', ['run', join(output, tarball), '--strict'], '.')
  run('attw', [join(output, tarball), '--profile', 'esm-only', '--format', 'ascii', '--no-summary'], '.')
}
rmSync(folder, { recursive: true })
process.exit(failures > 0 ? 1 : 0)

/** @param {string} command @param {string[]} args @param {string} cwd */
function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status === 0) return
  failures += 1
  console.error(`${command} ${args.join(' ')} (in ${cwd}) failed:\n${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`)
}
