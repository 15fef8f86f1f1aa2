import type { Habit } from '../world/buyer.ts'
import type { Row } from './rows.ts'

type End = Row['ends'][Habit]

/** The docs page on crashes: a frame by hand around tables of the rows that the tests run. */
export function pageOf(rows: readonly Row[]): string {
  const table = (process: Row['process']): string =>
    rows
      .filter((row) => row.process === process)
      .map(lineOf)
      .join('\n')
  return `${frame.before}

## The seller dies

${head}
${table('seller')}

## The facilitator dies

${head}
${table('facilitator')}

${frame.after}
`
}

const head = `| killed at | books then say | buyer who resumes gets | buyer who never returns | handler runs | money, if the buyer resumes | money, if not |
| --- | --- | --- | --- | --- | --- | --- |`

function lineOf({ step, found, ends: { resumes, leaves } }: Row): string {
  return `| ${[step, found, resumes.got, `${leaves.got}, claim: ${leaves.claims}`, resumes.runs, moneyIn(resumes), moneyIn(leaves)].join(' | ')} |`
}

function moneyIn({ transfers, claims }: End): string {
  if (transfers === 0) return 'none moved'
  return claims.includes('settled') ? 'moved once; listed as paid and undelivered' : 'moved once'
}

const frame = {
  before: `# What happens when it crashes

Every line below is a test: a real process is killed with \`kill -9\` at that very step, started again on the same books, and left
alone. Within a minute every claim and every settlement has an end, no payment is settled twice, and the seller's books equal the
chain to the atomic unit.

**What is written down, and when.** The seller writes a claim before the handler runs, the response and "settling" before the
facilitator is asked, and the outcome before the response leaves. The facilitator writes a payment down before it works on it,
a signed transaction before it is sent, and the outcome before it answers.

**What the buyer sees.** A buyer with this project's client sends the same payment again (\`client.resume\`) and is never charged
for it twice. Where the handler may have run and nothing was settled, the answer is \`402 handler_failed\` with the moment after which
the signature is dead; until then the client keeps the amount reserved.

**What the seller sees.** What was paid for and fetched by nobody is listed as paid and undelivered by \`server.reconcile()\`, and told as the
event \`undelivered\`. The buyer can still fetch it, or the seller refunds it.`,
  after: `Goods written down as delivered are brought again to whoever knows the payment's id, which this project's client makes for every
payment. A buyer without one whose answer was lost at that very step gets nothing more for that payment.

Generated from \`apps/crash/src/matrix/rows.ts\` by \`pnpm exec vitest run --project unit apps/crash/src/matrix/page.test.ts -u\`.`,
}
