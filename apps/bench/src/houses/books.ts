import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Store } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { sqliteStore } from '@flow402x/store/sqlite'

/** Where books are kept: SQLite's in a folder that goes with the process. */
export type Books = 'memory' | 'SQLite'

/** A store that is empty. */
export async function storeOf(books: Books): Promise<Store> {
  if (books === 'memory') return memoryStore({ force: true })
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return sqliteStore(join(folder, 'books.db'))
}
