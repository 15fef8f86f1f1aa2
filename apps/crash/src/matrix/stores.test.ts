import { hasRedis } from '@flow402x/testing/servers'
import { it } from 'vitest'
import { postgresPlaces, redisPlaces } from '../world/servers.ts'
import { rows } from './rows.ts'
import { testCrashes } from './suite.ts'

// One step of each kind; every other one is in the soak.
const written = new Set([
  'claim written',
  '“settling” and the response written',
  '“settled” written, nothing sent',
  'half of the response sent',
])
const journalled = new Set(['transaction written, not sent', 'transaction sent'])
const chosen = (steps: ReadonlySet<string>) => rows.filter(({ step }) => steps.has(step)).map((row) => [row, 'resumes'] as const)

testCrashes({
  name: 'with books in PostgreSQL (every step: pnpm soak)',
  cases: chosen(new Set([...written, ...journalled])),
  places: postgresPlaces,
})
if (hasRedis()) testCrashes({ name: 'with claims in Redis (every step: pnpm soak)', cases: chosen(written), places: redisPlaces })
else it.skip('with claims in Redis: there is no redis-server on this machine', () => {})
