import { rows } from './rows.ts'

const steps: ReadonlySet<string> = new Set([
  '“settling” and the response written',
  'settlement answered, not written',
  'settlement taken in',
  'transaction signed, not written',
  'transaction written, not sent',
  'transaction sent',
  'seen mined, not judged',
  'outcome written, not answered',
])

/** The steps that lie differently on Solana, where transactions have no order and end with their blockhash: what comes of them is the same. */
export const solanaRows = rows.filter(({ step }) => steps.has(step))
