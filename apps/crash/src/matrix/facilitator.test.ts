import { verifies } from '@flow402x/testing/requirements'
import { rows } from './rows.ts'
import { testCrashes } from './suite.ts'

// With a buyer who resumes and with one who is never seen again; the other buyers and stores are in the soak.
const steps = rows.filter(({ process }) => process === 'facilitator')
verifies(['K3', 'K4', 'M5', 'M17'])
testCrashes({
  name: 'the facilitator dies, with books in SQLite (other buyers: pnpm soak)',
  cases: steps.flatMap((row) => [[row, 'resumes'] as const, [row, 'leaves'] as const]),
})
