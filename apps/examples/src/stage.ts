import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Express } from 'express'
import { type Dev, startDev } from 'flow402x'

/** A local world for an example, which keeps its books in the folder it is started in: one of its own. */
export async function startStage(): Promise<Dev> {
  const home = process.cwd()
  const folder = mkdtempSync(join(tmpdir(), 'flow402x-example-'))
  process.chdir(folder)
  const dev = await startDev()
  return {
    ...dev,
    async close() {
      await dev.close()
      process.chdir(home)
      rmSync(folder, { recursive: true })
    },
  }
}

/** Visits an app where it listens. */
export async function visit<Result>(app: Express, work: (url: string) => Promise<Result>): Promise<Result> {
  const listening = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => listening.once('listening', resolve))
  try {
    // A server that listens on a host has an address with a port.
    const { port } = listening.address() as AddressInfo
    return await work(`http://127.0.0.1:${port}`)
  } finally {
    listening.close()
  }
}

/** The lines between `// #region <name>` and `// #endregion` of a file beside this one, as a README quotes them. */
export function regionOf(file: string, name: string): string {
  const source = readFileSync(new URL(file, import.meta.url), 'utf8')
  const lines = source
    .slice(source.indexOf(`// #region ${name}`))
    .split('\n')
    .slice(1)
  const end = lines.findIndex((line) => line.includes('// #endregion'))
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^ {2}/, ''))
    .join('\n')
}

/** A file of the repository. */
export function textOf(path: string): string {
  return readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
}
