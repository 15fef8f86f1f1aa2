import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where test files leave their tables. */
    tables: string
  }
}

/** Prints the tables of all files when the last test is over, so that they are the last thing to be read. */
export function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'flow402x-interop-'))
  project.provide('tables', folder)
  return () => {
    for (const name of readdirSync(folder).sort()) console.log(readFileSync(join(folder, name), 'utf8'))
    rmSync(folder, { recursive: true, force: true })
  }
}
