import type { Habit } from '../world/buyer.ts'
import type { Row } from './rows.ts'

type End = Row['ends'][Habit]

/** The docs page on crashes: a frame by hand around tables of the rows that the tests run. */
export function pageOf({ rows, solanaRows }: { readonly rows: readonly Row[]; readonly solanaRows: readonly Row[] }): string {
  const of = (process: Row['process']): readonly Row[] => rows.filter((row) => row.process === process)
  return `${frame.before}

## The seller dies

${tableOf(of('seller'))}

## The facilitator dies

${tableOf(of('facilitator'))}

## On Solana

${frame.solana}

${tableOf(solanaRows, ({ process }) => ({ who: process }))}

${frame.after}
`
}

function tableOf(rows: readonly Row[], more: (row: Row) => Readonly<Record<string, string>> = () => ({})): string {
  const lines = rows.map((row) => ({ ...more(row), ...cellsOf(row) }))
  const columns = Object.keys(lines[0] ?? {})
  return [columns, columns.map(() => '---'), ...lines.map(Object.values)].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function cellsOf({ step, found, ends: { resumes, leaves } }: Row) {
  return {
    'killed at': step,
    'books then say': found,
    'buyer who resumes gets': resumes.got,
    'buyer who never returns': `${leaves.got}, claim: ${leaves.claims}`,
    'handler runs': resumes.runs,
    'money, if the buyer resumes': moneyIn(resumes),
    'money, if not': moneyIn(leaves),
  }
}

function moneyIn({ transfers, claims }: End): string {
  if (transfers === 0) return 'none moved'
  return claims.includes('settled') ? 'moved once; listed as paid and undelivered' : 'moved once'
}

const frame = {
  before: `# What happens when it crashes

Every line below is a test: a real process is killed with \`kill -9\` at that very step, started again on the same books, and left
alone. Within a minute every claim and every settlement has an end or waits for its payer alone, no purchase is settled twice, and the
seller's books equal the chain to the atomic unit.

**What is written down, and when.** The seller writes a claim before the handler runs, the response and "settling" before the
facilitator is asked, the outcome before the response leaves, and "delivered" when it has left. The facilitator writes a payment down
before it works on it, a signed transaction before it is sent, and the outcome before it answers. Where a price is a ceiling, what the
handler says was used is written with its response, and nothing else is ever settled.

**What the buyer sees.** A buyer with this project's client sends the same payment again (\`client.resume\`) and is never charged
for it twice. Nor is a buyer with any other client, who pays anew: while the first payment may have moved the answer is 503 with
Retry-After, and once it has, the goods are delivered for it and the new payment is not settled. A handler that has done its work does
not do it again: its stored response is settled and delivered when its buyer comes back, and never settled without him. Where the handler
may have run and nothing was stored, the answer is \`402 handler_failed\` with the moment after which the signature is dead; until then
the client keeps the amount reserved.

**What the seller sees.** What was paid for and fetched by nobody is listed as paid and undelivered by \`server.reconcile()\`, and told as the
event \`undelivered\`. The buyer can still fetch it, or the seller refunds it.`,
  solana: `A transaction has no place in an order there, so none waits for another, and it ends with its blockhash, after about a minute: what was
signed and not sent is sent as it is, or is provably dead. The steps at which that could matter:`,
  after: `"Listed as paid and undelivered" means that nobody knows better: a seller that dies between the last byte and "delivered" has a
buyer who got everything and is listed all the same. Goods written down as delivered are brought again to whoever knows the payment's
id, which this project's client makes for every payment.

Generated from \`apps/crash/src/matrix/rows.ts\` by \`pnpm exec vitest run --project unit apps/crash/src/matrix/page.test.ts -u\`.`,
}
