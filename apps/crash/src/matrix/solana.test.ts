import { verifies } from '@flow402x/testing/requirements'
import { solana } from '../world/solana-rail.ts'
import { solanaRows } from './solana-rows.ts'
import { testCrashes } from './suite.ts'

verifies(['K3', 'K4', 'K5', 'M5', 'M17', 'M21'])
testCrashes({
  name: 'paid on Solana, with books in SQLite (other buyers and stores: pnpm soak)',
  on: solana,
  cases: solanaRows.map((row) => [row, 'resumes'] as const),
})
