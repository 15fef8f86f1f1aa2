import { hasRedis } from '@flow402x/testing/servers'
import { it } from 'vitest'
import type { Habit } from '../world/buyer.ts'
import { evmUpto } from '../world/rail.ts'
import { postgresPlaces, redisPlaces } from '../world/servers.ts'
import { solana } from '../world/solana-rail.ts'
import { rows } from './rows.ts'
import { testCrashes } from './suite.ts'

const habits: readonly Habit[] = ['resumes', 'leaves', 'returns', 'repeats']
const all = rows.flatMap((row) => habits.map((habit) => [row, habit] as const))

testCrashes({ name: 'with books in SQLite', cases: all })
testCrashes({ name: 'paid on Solana, with books in SQLite', cases: all, on: solana })
testCrashes({ name: 'paid by upto, with books in SQLite', cases: all, on: evmUpto })
testCrashes({ name: 'with books in PostgreSQL', cases: all, places: postgresPlaces })
if (hasRedis())
  testCrashes({ name: 'with claims in Redis', cases: all.filter(([{ process }]) => process === 'seller'), places: redisPlaces })
else it.skip('with claims in Redis: there is no redis-server on this machine', () => {})
