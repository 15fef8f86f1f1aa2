import { verifies } from '@flow402x/testing/requirements'
import { evmUpto } from '../world/rail.ts'
import { approvalRow, rows } from './rows.ts'
import { testCrashes } from './suite.ts'

// From the handler's last step to the goods: here a restart could take the ceiling for what was used, or use it twice.
const names: ReadonlySet<string> = new Set([
  'handler done, nothing stored',
  '“settling” and the response written',
  'settlement answered, not written',
  'settlement taken in',
  'transaction written, not sent',
  'outcome written, not answered',
])
const steps = [...rows.filter(({ step }) => names.has(step)), approvalRow]

// Nothing of what was used is settled without its payer, or else all of it.
const leaving: ReadonlySet<string> = new Set(['“settling” and the response written', 'settlement answered, not written', approvalRow.step])

verifies(['K7', 'K2', 'K5', 'UPTO-EVM', 'M20', 'GAS-SPONSORING'])
testCrashes({
  name: 'paid by upto, of which half is used, with books in SQLite (other buyers and stores: pnpm soak)',
  on: evmUpto,
  cases: [
    ...steps.map((row) => [row, 'resumes'] as const),
    ...steps.filter(({ step }) => leaving.has(step)).map((row) => [row, 'leaves'] as const),
  ],
})
