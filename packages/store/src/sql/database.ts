import { catalogueTables, type Dialect } from '../catalogue/schema.ts'
import type { Column } from '../claims/record.ts'

/** A row as an engine returns it, by column. */
export type Row = Readonly<Record<string, unknown>>

/** One statement; its parameters are written `?1`, `?2`, … */
export type Statement = { readonly text: string; readonly values: readonly Column[] }

/** What is done within one transaction, written once for every engine: it yields statements and is given their rows. */
export type Work<Result> = Generator<Statement, Result, readonly Row[]>

/** The little that the SQL of this package asks of an engine. */
export interface SqlDatabase {
  /** One statement, a transaction of its own, durable when it is answered. */
  query(statement: Statement): Promise<readonly Row[]>
  /** All of it or none of it, durable when it is answered; it may be run again where others changed the same rows. */
  transaction<Result>(work: () => Work<Result>): Promise<Result>
  close(): Promise<void>
}

/** The store's tables, made where they are missing. Processes that start at once wait for one another on the row of a version. */
export function* migrate(dialect: Dialect): Work<void> {
  const bytes = dialect === 'sqlite' ? 'BLOB' : 'BYTEA'
  yield run('CREATE TABLE IF NOT EXISTS flow402x_migrations (version INTEGER PRIMARY KEY)')
  for (const [version, statements] of migrations.entries()) {
    const added = yield run('INSERT INTO flow402x_migrations (version) VALUES (?1) ON CONFLICT DO NOTHING RETURNING version', [version + 1])
    if (added.length === 0) continue
    for (const text of typeof statements === 'function' ? statements(dialect) : statements) yield run(text.replaceAll('BYTES', bytes))
  }
}

/** A statement and its values. */
export function run(text: string, values: readonly Column[] = []): Statement {
  return { text, values }
}

/** Rows as a table of parameters; the last is repeated up to a power of two, so that few texts are prepared. */
export function table(rows: readonly (readonly Column[])[], first: number): { readonly text: string; readonly values: readonly Column[] } {
  const size = 2 ** Math.ceil(Math.log2(rows.length))
  const filled = Array.from({ length: size }, (_, index) => rows[Math.min(index, rows.length - 1)] ?? [])
  let number = first
  const tuples = filled.map((row) => `(${row.map(() => `?${number++}`).join(', ')})`)
  return { text: `VALUES ${tuples.join(', ')}`, values: filled.flat() }
}

// Fewer parameters than any engine takes, for the widest of tables.
const mostInPiece = 256

type Pieces = {
  readonly rows: readonly (readonly Column[])[]
  /** One row as it is written, of its parameters; in their order where nothing is said. */
  readonly tuple?: (parameters: readonly string[]) => string
}

/**
 * Does a statement with many rows in it, and gives what that returned. A piece has as many of them as a power of two, so that few texts are
 * prepared and no row is there twice.
 */
export function* inPieces({ rows, tuple = (all) => `(${all.join(', ')})` }: Pieces, statement: (values: string) => string): Work<Row[]> {
  const returned: Row[] = []
  for (let from = 0; from < rows.length; ) {
    const size = Math.min(mostInPiece, 2 ** Math.floor(Math.log2(rows.length - from)))
    const piece = rows.slice(from, from + size)
    let number = 0
    const tuples = piece.map((row) => tuple(row.map(() => `?${++number}`)))
    returned.push(...(yield run(statement(`VALUES ${tuples.join(', ')}`), piece.flat())))
    from += size
  }
  return returned
}

/** Claims that have not ended: the condition of an index, which a query must repeat word for word to be answered by it. */
export const unended = "state IN ('claimed', 'open', 'settling', 'settled')"

/** Calls whose money may still move: the condition of an index, as above. */
export const underWay = "state IN ('signing', 'open')"

/** Claims that stand on somebody's word: the condition of an index, as `unended` is. */
export const vouched = "vouched_by IS NOT NULL AND vouched_by <> ''"

/** Lanes that have not ended: the condition of an index, as above. */
export const liveLane = "state <> 'ended'"

// Times are the caller's and amounts are text: neither overflows. A migration that was published is never changed.
const migrations: readonly (readonly string[] | ((dialect: Dialect) => readonly string[]))[] = [
  [
    `CREATE TABLE flow402x_claims (
      id TEXT PRIMARY KEY, payer TEXT NOT NULL, dead_after DOUBLE PRECISION NOT NULL, binding TEXT NOT NULL, claim_id TEXT NOT NULL,
      submission TEXT NOT NULL, secret TEXT, state TEXT NOT NULL, epoch INTEGER NOT NULL, attempts INTEGER NOT NULL,
      lease_until DOUBLE PRECISION NOT NULL, outcome TEXT, response_status INTEGER, response_headers TEXT, response_body BYTES,
      created_at DOUBLE PRECISION NOT NULL)`,
    'CREATE UNIQUE INDEX flow402x_claims_secret ON flow402x_claims (payer, secret) WHERE secret IS NOT NULL',
    // One index for what has not ended: what a payer paid and did not get, and what a reconciler finishes.
    `CREATE INDEX flow402x_claims_unended ON flow402x_claims (payer, binding) WHERE ${unended}`,
    "CREATE INDEX flow402x_claims_ended ON flow402x_claims (dead_after) WHERE state IN ('delivered', 'failed')",
    'CREATE TABLE flow402x_budget_scopes (scope TEXT PRIMARY KEY, reserved TEXT NOT NULL, committed TEXT NOT NULL)',
    'CREATE TABLE flow402x_reservations (id TEXT PRIMARY KEY, amount TEXT NOT NULL, scopes TEXT NOT NULL)',
    `CREATE TABLE flow402x_logs (
      network TEXT NOT NULL, tx TEXT NOT NULL, log_index INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (network, tx, log_index))`,
  ],
  [
    `CREATE TABLE flow402x_settlements (
      id TEXT PRIMARY KEY, dead_after DOUBLE PRECISION NOT NULL, claim_id TEXT, submission TEXT NOT NULL, owner TEXT NOT NULL,
      lease_until DOUBLE PRECISION NOT NULL, network TEXT, signer TEXT, nonce TEXT, outcome TEXT, epoch INTEGER NOT NULL)`,
    'CREATE INDEX flow402x_settlements_queued ON flow402x_settlements (id) WHERE nonce IS NULL AND outcome IS NULL',
    'CREATE INDEX flow402x_settlements_riding ON flow402x_settlements (network, signer, nonce) WHERE nonce IS NOT NULL',
    'CREATE INDEX flow402x_settlements_ended ON flow402x_settlements (dead_after) WHERE outcome IS NOT NULL',
    `CREATE TABLE flow402x_slots (
      network TEXT NOT NULL, signer TEXT NOT NULL, nonce TEXT NOT NULL, attempts TEXT NOT NULL, payments TEXT NOT NULL,
      state TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, PRIMARY KEY (network, signer, nonce))`,
    "CREATE INDEX flow402x_slots_standing ON flow402x_slots (network, signer) WHERE state <> 'final'",
    "CREATE INDEX flow402x_slots_ended ON flow402x_slots (since) WHERE state = 'final'",
    `CREATE TABLE flow402x_leases (
      network TEXT NOT NULL, signer TEXT NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL, lease_until DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (network, signer))`,
  ],
  [
    `CREATE TABLE flow402x_ledger (
      id TEXT PRIMARY KEY, binding TEXT NOT NULL, reservation TEXT NOT NULL, dead_after DOUBLE PRECISION NOT NULL, state TEXT NOT NULL,
      epoch INTEGER NOT NULL, signed TEXT)`,
    `CREATE INDEX flow402x_ledger_under_way ON flow402x_ledger (id) WHERE ${underWay}`,
    "CREATE INDEX flow402x_ledger_ended ON flow402x_ledger (dead_after) WHERE state IN ('paid', 'released')",
    `CREATE TABLE flow402x_payees (
      origin TEXT NOT NULL, network TEXT NOT NULL, scheme TEXT NOT NULL, pay_to TEXT NOT NULL, asset TEXT NOT NULL,
      PRIMARY KEY (origin, network, scheme))`,
  ],
  [
    'ALTER TABLE flow402x_claims ADD COLUMN settled_at DOUBLE PRECISION',
    'ALTER TABLE flow402x_claims ADD COLUMN vouched_by TEXT',
    'ALTER TABLE flow402x_claims ADD COLUMN committed INTEGER',
    'ALTER TABLE flow402x_claims ADD COLUMN purse TEXT',
    'ALTER TABLE flow402x_claims ADD COLUMN amount TEXT',
    'CREATE INDEX flow402x_claims_settled ON flow402x_claims (settled_at, id) WHERE settled_at IS NOT NULL',
    `CREATE INDEX flow402x_claims_vouched ON flow402x_claims (id) WHERE ${vouched}`,
    // Whoever writes a payer's row here alone counts what the payer's money is spoken for.
    'CREATE TABLE flow402x_purses (payer TEXT NOT NULL, purse TEXT NOT NULL, PRIMARY KEY (payer, purse))',
  ],
  [
    'ALTER TABLE flow402x_settlements ADD COLUMN account TEXT',
    'ALTER TABLE flow402x_settlements ADD COLUMN amount TEXT',
    'ALTER TABLE flow402x_settlements ADD COLUMN heard_until DOUBLE PRECISION',
    'CREATE UNIQUE INDEX flow402x_settlements_claim ON flow402x_settlements (claim_id) WHERE claim_id IS NOT NULL',
    'CREATE INDEX flow402x_settlements_drawing ON flow402x_settlements (account) WHERE account IS NOT NULL AND outcome IS NULL',
  ],
  [
    `CREATE TABLE flow402x_outbox (
      id TEXT PRIMARY KEY, topic TEXT NOT NULL, body TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL,
      next_attempt_at DOUBLE PRECISION NOT NULL, done_at DOUBLE PRECISION)`,
    'CREATE INDEX flow402x_outbox_due ON flow402x_outbox (next_attempt_at) WHERE done_at IS NULL',
    'CREATE INDEX flow402x_outbox_done ON flow402x_outbox (done_at) WHERE done_at IS NOT NULL',
  ],
  [
    `CREATE TABLE flow402x_channels (
      side TEXT NOT NULL, id TEXT NOT NULL, epoch INTEGER NOT NULL, owed_since DOUBLE PRECISION, ledger TEXT NOT NULL,
      PRIMARY KEY (side, id))`,
    'CREATE INDEX flow402x_channels_owed ON flow402x_channels (side, id) WHERE owed_since IS NOT NULL',
  ],
  ['ALTER TABLE flow402x_claims ADD COLUMN holder TEXT'],
  catalogueTables,
  [
    `CREATE TABLE flow402x_lanes (
      id TEXT PRIMARY KEY, terms TEXT NOT NULL, units TEXT NOT NULL, used TEXT NOT NULL, replayed TEXT NOT NULL, state TEXT NOT NULL,
      owner TEXT NOT NULL, epoch INTEGER NOT NULL, lease_until DOUBLE PRECISION NOT NULL, since DOUBLE PRECISION NOT NULL,
      wanted TEXT, reason TEXT)`,
    `CREATE INDEX flow402x_lanes_live ON flow402x_lanes (owner, id) WHERE ${liveLane}`,
    `CREATE INDEX flow402x_lanes_left ON flow402x_lanes (lease_until, id) WHERE ${liveLane}`,
    "CREATE INDEX flow402x_lanes_ended ON flow402x_lanes (since) WHERE state = 'ended'",
  ],
  ['ALTER TABLE flow402x_ledger ADD COLUMN receipt TEXT'],
  ['ALTER TABLE flow402x_claims ADD COLUMN asked TEXT'],
  [
    `CREATE TABLE flow402x_views (
      resource TEXT NOT NULL, viewer TEXT NOT NULL, epoch INTEGER NOT NULL, purchases TEXT NOT NULL, open_until DOUBLE PRECISION NOT NULL,
      proven_at DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION NOT NULL, PRIMARY KEY (resource, viewer))`,
    'CREATE INDEX flow402x_views_expired ON flow402x_views (expires)',
  ],
]
