import type { Claim, ClaimAnswer, ClaimRequest, ClaimStore, NewMessage } from '@flow402x/core'
import { defaultRetention, sweepSeldom } from '@flow402x/core/memory'
import { storeErrors } from '../claims/errors.ts'
import { claimColumns, progressColumns, purseOf, readClaim, writeClaim, writeProgress } from '../claims/record.ts'
import { type Row, run, type SqlDatabase, type Statement, unended, vouched, type Work } from './database.ts'
import { putMessages, type SqlOptions } from './outbox.ts'

const columns = claimColumns.join(', ')
const insert = `INSERT INTO flow402x_claims (${columns}, created_at)
  VALUES (${claimColumns.map((_, index) => `?${index + 1}`).join(', ')}, ?${claimColumns.length + 1}) ON CONFLICT DO NOTHING RETURNING id`

const takeOpen = `UPDATE flow402x_claims
  SET state = 'claimed', epoch = epoch + 1, attempts = attempts + 1, claim_id = ?4, submission = CASE WHEN response_status IS NULL THEN ?5 ELSE submission END, secret = COALESCE(secret, ?6),
    lease_until = ?7, holder = COALESCE(?12, holder), committed = COALESCE(?9, committed), purse = ?10, amount = ?11
  WHERE id = ?1 AND state = 'open' AND binding = ?2 AND attempts < ?3
    AND (secret IS NOT NULL OR NOT EXISTS (SELECT 1 FROM flow402x_claims other WHERE other.payer = ?8 AND other.secret = ?6))
  RETURNING ${columns}`

const select = `SELECT ${columns} FROM flow402x_claims WHERE id = ?1`
const standing = `${select} OR (payer = ?2 AND secret = ?3)`

const oldestUndelivered = `SELECT ${columns} FROM flow402x_claims
  WHERE ${unended} AND payer = ?1 AND binding = ?2 AND (lease_until <= ?4 OR COALESCE(holder, '') <> ?5) AND (state = 'settling'
    OR (attempts < ?3 AND (state = 'settled' OR (state = 'open' AND response_status IS NOT NULL AND dead_after * 1000 > ?4))))
  ORDER BY CASE WHEN state = 'open' THEN 1 ELSE 0 END, created_at, id LIMIT 1`

const advance = `UPDATE flow402x_claims
  SET ${progressColumns.map((column, index) => `${column} = COALESCE(?${index + 4}, ${column})`).join(', ')}
  WHERE id = ?1 AND state = ?2 AND epoch = ?3 RETURNING id`

const unfinished = `SELECT ${columns} FROM flow402x_claims
  WHERE ${unended} AND lease_until <= ?1 AND id > ?2 ORDER BY id LIMIT 16`

const holdPurse = `INSERT INTO flow402x_purses (payer, purse) VALUES (?1, ?2)
  ON CONFLICT (payer, purse) DO UPDATE SET purse = excluded.purse RETURNING purse`
const underWay = `SELECT id, amount FROM flow402x_claims
  WHERE ${unended} AND payer = ?1 AND purse = ?2 AND state IN ('claimed', 'settling')`
const settledLater = 'SELECT id, amount FROM flow402x_claims WHERE settled_at > ?3 AND payer = ?1 AND purse = ?2'

const settlements = `SELECT ${columns} FROM flow402x_claims
  WHERE (settled_at, id) > (?1, ?2) ORDER BY settled_at, id LIMIT 64`
const standingOnAWord = `SELECT ${columns} FROM flow402x_claims WHERE ${vouched} AND id > ?1 ORDER BY id LIMIT 16`

const ended = `state IN ('delivered', 'failed') AND dead_after < ?1 AND NOT (${vouched})`
const forget = `DELETE FROM flow402x_claims WHERE ${ended}
  AND id IN (SELECT id FROM flow402x_claims WHERE ${ended} ORDER BY dead_after LIMIT ?2) RETURNING id`

const mostRounds = 20

/** Claims in SQL: each change is one statement that names the state and epoch it starts from. */
export function sqlClaims(database: SqlDatabase, { outbox, retention = defaultRetention }: SqlOptions): ClaimStore {
  const sweep = async (now: number, limit: number): Promise<number> =>
    (await database.query(run(forget, [(now - retention) / 1000, limit]))).length
  const seldom = sweepSeldom(sweep)

  return {
    outbox,
    async claim(request, { maxAttempts }) {
      await seldom(request.now)
      for (let round = 0; round < mostRounds; round += 1) {
        // Without funds one statement at a time will do; with them everything is one transaction that holds the payer's purse.
        const answer =
          request.funds === undefined
            ? await oneByOne(database, claimOnce(request, maxAttempts))
            : await database.transaction(() => claimWithin(request, maxAttempts))
        if (answer !== undefined) return answer
      }
      throw storeErrors('store/contended', { store: 'The claim store', attempts: mostRounds })
    },
    async find(id) {
      const [row] = await database.query(run(select, [id]))
      return row === undefined ? undefined : readClaim(row)
    },
    async undelivered(payer, binding, { maxAttempts, now, holder }) {
      const [row] = await database.query(run(oldestUndelivered, [payer, binding, maxAttempts, now, holder]))
      return row === undefined ? undefined : readClaim(row)
    },
    async update(claim, change, { tell = [] } = {}) {
      const next = { ...claim, ...change, epoch: claim.epoch + 1 }
      const statement = run(advance, [claim.id, claim.state, claim.epoch, ...writeProgress(next, change)])
      const changed = await (tell.length === 0 ? database.query(statement) : database.transaction(() => andTell(statement, tell)))
      return changed.length === 0 ? undefined : next
    },
    async *unfinished({ now }) {
      let after = ''
      for (;;) {
        const claims = (await database.query(run(unfinished, [now, after]))).map(readClaim)
        yield* claims
        const last = claims.at(-1)
        if (last === undefined) return
        after = last.id
      }
    },
    async *settlements({ since }) {
      let [time, id] = [since, '']
      for (;;) {
        const claims = (await database.query(run(settlements, [time, id]))).map(readClaim)
        yield* claims
        const last = claims.at(-1)
        if (last === undefined) return
        ;[time, id] = [last.settledAt ?? since, last.id]
      }
    },
    async *vouched() {
      let after = ''
      for (;;) {
        const claims = (await database.query(run(standingOnAWord, [after]))).map(readClaim)
        yield* claims
        const last = claims.at(-1)
        if (last === undefined) return
        after = last.id
      }
    },
    async purge(now) {
      let forgotten = 0
      for (;;) {
        const count = await sweep(now, 1024)
        forgotten += count
        if (count === 0) return forgotten
      }
    },
  }
}

/** A change and what is told of it; where nothing changed there is nothing to tell. */
function* andTell(change: Statement, messages: readonly NewMessage[]): Work<readonly Row[]> {
  const changed = yield change
  if (changed.length > 0) yield* putMessages(messages)
  return changed
}

/** Work that needs no transaction: each statement is one of its own. */
async function oneByOne<Result>(database: SqlDatabase, work: Work<Result>): Promise<Result> {
  let next = work.next([])
  while (next.done !== true) next = work.next(await database.query(next.value))
  return next.value
}

/** As `claimOnce`, while the row of the payer's purse is held: nobody else counts meanwhile (M8). */
function* claimWithin(request: ClaimRequest, maxAttempts: number): Work<ClaimAnswer | undefined> {
  const { key, submission, funds } = request
  if (funds === undefined) return yield* claimOnce(request, maxAttempts)
  const purse = purseOf(submission)
  yield run(holdPurse, [key.payer, purse])
  const own = (yield run(select, [key.id])).map(readClaim)[0]
  const live = [...(yield run(underWay, [key.payer, purse])), ...(yield run(settledLater, [key.payer, purse, funds.since]))]
  const others = new Map(live.map(({ id, amount }) => [String(id), BigInt(String(amount))]))
  others.delete(key.id)
  const spoken = [...others.values()].reduce((sum, amount) => sum + amount, BigInt(submission.requirements.amount))
  const free = own === undefined || own.state === 'open'
  if (free && spoken > funds.held) return { granted: false, overdrawn: true, claim: own ?? { ...freshClaim(request), state: 'open' } }
  return yield* claimOnce(request, maxAttempts)
}

function freshClaim({ key, now: _, funds: __, ...held }: ClaimRequest): Claim {
  return { id: key.id, payer: key.payer, deadAfter: key.deadAfter, ...held, state: 'claimed', epoch: 1, attempts: 1 }
}

/** One attempt; nothing where what stood was changed between two looks at it. */
function* claimOnce(request: ClaimRequest, maxAttempts: number): Work<ClaimAnswer | undefined> {
  const { key, now, submission, committed } = request
  const fresh = freshClaim(request)
  if ((yield run(insert, [...writeClaim(fresh), now])).length > 0) return { granted: true, claim: fresh }

  const secret = request.secret ?? null
  const taking = [
    key.id,
    request.binding,
    maxAttempts,
    request.claimId,
    JSON.stringify(submission),
    secret,
    request.leaseUntil,
    key.payer,
    committed === undefined ? null : Number(committed),
    purseOf(submission),
    submission.requirements.amount,
    request.holder ?? null,
  ]
  const [taken] = yield run(takeOpen, taking)
  if (taken !== undefined) return { granted: true, claim: readClaim(taken) }

  const found = (yield run(standing, [key.id, key.payer, secret])).map(readClaim)
  const own = found.find(({ id }) => id === key.id)
  const free = own === undefined || (own.state === 'open' && own.binding === request.binding && own.attempts < maxAttempts)
  const other = own?.secret === undefined ? found.find(({ id }) => id !== key.id) : undefined
  const claim = free ? other : own
  return claim === undefined ? undefined : { granted: false, claim }
}
