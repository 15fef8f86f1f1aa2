import { verifies } from '@flow402x/testing/requirements'
import { rows } from './rows.ts'
import { testCrashes } from './suite.ts'

// With a buyer who resumes and with one who is never seen again; the other buyers and stores are in the soak.
const steps = rows.filter(({ process }) => process === 'seller')
verifies(['K1', 'K2', 'K5', 'K6', 'H42'])
testCrashes({
  name: 'the seller dies, with books in SQLite (other buyers: pnpm soak)',
  cases: steps.flatMap((row) => [[row, 'resumes'] as const, [row, 'leaves'] as const]),
})
