import type { JournalStore, Store } from '@flow402x/core'
import * as z from 'zod/mini'

/** Where books are kept: a file or a URL. */
export const place = z.object({ engine: z.enum(['SQLite', 'PostgreSQL', 'Redis']), at: z.string() })

/** Where books are kept: a file or a URL. */
export type Place = z.infer<typeof place>

/** Opens a seller's books. */
export async function openClaims({ engine, at }: Place): Promise<Pick<Store, 'claims' | 'logs' | 'budgets' | 'close'>> {
  if (engine !== 'Redis') return openSql({ engine, at })
  const { redisStore } = await import('@flow402x/store/redis')
  return redisStore(at)
}

/** Opens a facilitator's books, which Redis does not keep (M18). */
export async function openJournal(where: Place): Promise<{ readonly journal: JournalStore; close(): Promise<void> }> {
  return openSql(where)
}

/** Opens books that hold everything. */
export async function openSql({ engine, at }: Place): Promise<Store> {
  if (engine === 'SQLite') return (await import('@flow402x/store/sqlite')).sqliteStore(at)
  return (await import('@flow402x/store/postgres')).postgresStore(at)
}
