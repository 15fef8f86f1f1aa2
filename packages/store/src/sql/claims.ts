import type { Claim, ClaimRequest, ClaimStore } from '@flow402x/core'
import { defaultRetention, type RetentionOptions, sweepSeldom } from '@flow402x/core/memory'
import { storeErrors } from '../claims/errors.ts'
import { claimColumns, readClaim, writeClaim, writeProgress } from '../claims/record.ts'
import { run, type SqlDatabase, unended } from './database.ts'

const columns = claimColumns.join(', ')
const insert = `INSERT INTO flow402x_claims (${columns}, created_at)
  VALUES (${claimColumns.map((_, index) => `?${index + 1}`).join(', ')}, ?${claimColumns.length + 1}) ON CONFLICT DO NOTHING RETURNING id`

const takeOpen = `UPDATE flow402x_claims
  SET state = 'claimed', epoch = epoch + 1, attempts = attempts + 1, claim_id = ?4, submission = ?5, secret = COALESCE(secret, ?6), lease_until = ?7
  WHERE id = ?1 AND state = 'open' AND binding = ?2 AND attempts < ?3
    AND (secret IS NOT NULL OR NOT EXISTS (SELECT 1 FROM flow402x_claims other WHERE other.payer = ?8 AND other.secret = ?6))
  RETURNING ${columns}`

const select = `SELECT ${columns} FROM flow402x_claims WHERE id = ?1`
const standing = `${select} OR (payer = ?2 AND secret = ?3)`

const oldestUndelivered = `SELECT ${columns} FROM flow402x_claims
  WHERE ${unended} AND payer = ?1 AND binding = ?2 AND lease_until <= ?4 AND (state = 'settling' OR (state = 'settled' AND attempts < ?3))
  ORDER BY created_at, id LIMIT 1`

const advance = `UPDATE flow402x_claims
  SET state = ?4, epoch = ?5, attempts = ?6, lease_until = ?7, outcome = COALESCE(?8, outcome),
    response_status = COALESCE(?9, response_status), response_headers = COALESCE(?10, response_headers),
    response_body = COALESCE(?11, response_body)
  WHERE id = ?1 AND state = ?2 AND epoch = ?3 RETURNING id`

const unfinished = `SELECT ${columns} FROM flow402x_claims
  WHERE ${unended} AND lease_until <= ?1 AND id > ?2 ORDER BY id LIMIT 16`

const ended = "state IN ('delivered', 'failed') AND dead_after < ?1"
const forget = `DELETE FROM flow402x_claims WHERE ${ended}
  AND id IN (SELECT id FROM flow402x_claims WHERE ${ended} ORDER BY dead_after LIMIT ?2) RETURNING id`

const mostRounds = 20

/** Claims in SQL: each change is one statement that names the state and epoch it starts from. */
export function sqlClaims(database: SqlDatabase, { retention = defaultRetention }: RetentionOptions): ClaimStore {
  const sweep = async (now: number, limit: number): Promise<number> =>
    (await database.query(run(forget, [(now - retention) / 1000, limit]))).length
  const seldom = sweepSeldom(sweep)

  return {
    async claim(request, { maxAttempts }) {
      await seldom(request.now)
      for (let round = 0; round < mostRounds; round += 1) {
        const answer = await claimOnce(database, request, maxAttempts)
        if (answer !== undefined) return answer
      }
      throw storeErrors('store/contended', { store: 'The claim store', attempts: mostRounds })
    },
    async find(id) {
      const [row] = await database.query(run(select, [id]))
      return row === undefined ? undefined : readClaim(row)
    },
    async undelivered(payer, binding, { maxAttempts, now }) {
      const [row] = await database.query(run(oldestUndelivered, [payer, binding, maxAttempts, now]))
      return row === undefined ? undefined : readClaim(row)
    },
    async update(claim, change) {
      const next = { ...claim, ...change, epoch: claim.epoch + 1 }
      const changed = await database.query(run(advance, [claim.id, claim.state, claim.epoch, ...writeProgress(next, change.response)]))
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

/** One attempt; nothing where what stood was changed between two looks at it. */
async function claimOnce(
  database: SqlDatabase,
  request: ClaimRequest,
  maxAttempts: number,
): Promise<{ readonly granted: boolean; readonly claim: Claim } | undefined> {
  const { key, now, ...held } = request
  const fresh: Claim = { id: key.id, payer: key.payer, deadAfter: key.deadAfter, ...held, state: 'claimed', epoch: 1, attempts: 1 }
  if ((await database.query(run(insert, [...writeClaim(fresh), now]))).length > 0) return { granted: true, claim: fresh }

  const secret = request.secret ?? null
  const taking = [
    key.id,
    request.binding,
    maxAttempts,
    request.claimId,
    JSON.stringify(request.submission),
    secret,
    request.leaseUntil,
    key.payer,
  ]
  const [taken] = await database.query(run(takeOpen, taking))
  if (taken !== undefined) return { granted: true, claim: readClaim(taken) }

  const found = (await database.query(run(standing, [key.id, key.payer, secret]))).map(readClaim)
  const own = found.find(({ id }) => id === key.id)
  const free = own === undefined || (own.state === 'open' && own.binding === request.binding && own.attempts < maxAttempts)
  const other = own?.secret === undefined ? found.find(({ id }) => id !== key.id) : undefined
  const claim = free ? other : own
  return claim === undefined ? undefined : { granted: false, claim }
}
