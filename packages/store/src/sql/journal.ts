import type { Begun, JournalStore, NewSettlement, SignedTransaction, SignerLease, SlotKey } from '@flow402x/core'
import { defaultRetention, sweepSeldom } from '@flow402x/core/memory'
import { storeErrors } from '../claims/errors.ts'
import type { Column } from '../claims/record.ts'
import { run, type SqlDatabase, type Statement, table, type Work } from './database.ts'
import { readSettlement, readSlot, settlementColumns, slotColumns, writeAttempts } from './journal-rows.ts'
import { putMessages, type SqlOptions } from './outbox.ts'

const queued = 'nonce IS NULL AND outcome IS NULL'

const insert = `INSERT INTO flow402x_settlements (${settlementColumns})
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL, NULL, NULL, 1) ON CONFLICT DO NOTHING RETURNING ${settlementColumns}`
const takeOver = `UPDATE flow402x_settlements SET owner = ?2, lease_until = ?3, heard_until = CASE WHEN claim_id IS NULL THEN CAST(?5 AS DOUBLE PRECISION) END,
    epoch = epoch + 1 WHERE id = ?1 AND ${queued} AND lease_until <= ?4 RETURNING ${settlementColumns}`
const select = `SELECT ${settlementColumns} FROM flow402x_settlements WHERE id = ?1`
const abandoned = `SELECT ${settlementColumns} FROM flow402x_settlements
  WHERE ${queued} AND lease_until <= ?1 AND id > ?2 ORDER BY id LIMIT 64`

// A grave is a row with an end and no payment, under a name that no payment has: the index on claims lets it stand or the settlement.
const dig = `INSERT INTO flow402x_settlements (id, dead_after, claim_id, submission, owner, lease_until, outcome, epoch)
  VALUES ('buried ' || ?1, ?2, ?1, '', '', 0, 'buried', 1) ON CONFLICT DO NOTHING RETURNING id`
const keepGrave = `UPDATE flow402x_settlements SET dead_after = ?2 WHERE claim_id = ?1 AND outcome = 'buried' AND dead_after < ?2 RETURNING id`
const selectClaim = `SELECT ${settlementColumns} FROM flow402x_settlements WHERE claim_id = ?1`

const drawn = 'SELECT id, amount FROM flow402x_settlements WHERE account = ?1 AND outcome IS NULL'
const hear = 'UPDATE flow402x_settlements SET heard_until = ?3 WHERE id = ?1 AND heard_until = ?2 RETURNING id'

const end = `UPDATE flow402x_settlements SET outcome = ?3, epoch = epoch + 1 WHERE id = ?1 AND epoch = ?2 AND ${queued} RETURNING id`
const forget = `DELETE FROM flow402x_settlements WHERE id = ?1 AND epoch = ?2 AND ${queued} RETURNING id`

const takeLease = `INSERT INTO flow402x_leases AS held (network, signer, owner, epoch, lease_until) VALUES (?1, ?2, ?3, 1, ?4)
  ON CONFLICT (network, signer) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until,
    epoch = CASE WHEN held.owner = excluded.owner THEN held.epoch ELSE held.epoch + 1 END
  WHERE held.owner = excluded.owner OR held.lease_until <= ?5 RETURNING epoch`
// The row stays, so that the epoch goes on growing; nobody is its owner.
const dropLease = `UPDATE flow402x_leases SET owner = '', lease_until = 0, epoch = epoch + 1
  WHERE network = ?1 AND signer = ?2 AND owner = ?3 AND epoch = ?4 RETURNING epoch`
// Writing the row holds it: until the transaction ends nobody else writes for this signer, nor takes its lease.
const holdLease = `UPDATE flow402x_leases SET epoch = epoch WHERE network = ?1 AND signer = ?2 AND owner = ?3 AND epoch = ?4
  RETURNING lease_until`

const ofSlot = 'network = ?1 AND signer = ?2 AND nonce = ?3'
const selectSlot = `SELECT ${slotColumns} FROM flow402x_slots WHERE ${ofSlot}`
// Nonces are decimal text of any length without leading zeros.
const selectSlots = `SELECT ${slotColumns} FROM flow402x_slots WHERE network = ?1 AND signer = ?2 AND state <> 'final'
  ORDER BY length(nonce), nonce`
const insertSlot = `INSERT INTO flow402x_slots (${slotColumns}) VALUES (?1, ?2, ?3, ?4, ?5, 'open', ?6)`
const addAttempt = `UPDATE flow402x_slots SET attempts = ?4, since = ?5 WHERE ${ofSlot}`
const advanceSlot = `UPDATE flow402x_slots SET state = ?4, payments = ?5, since = ?6 WHERE ${ofSlot}`
const unlink = `UPDATE flow402x_settlements SET network = NULL, signer = NULL, nonce = NULL, epoch = epoch - 1 WHERE ${ofSlot}`
const requeue = `UPDATE flow402x_settlements SET network = NULL, signer = NULL, nonce = NULL, owner = ?4, lease_until = ?5, epoch = epoch + 1
  WHERE ${ofSlot} AND outcome IS NULL RETURNING id`

const over = `outcome IS NOT NULL AND dead_after < ?1 AND (nonce IS NULL OR EXISTS (SELECT 1 FROM flow402x_slots slot
  WHERE slot.network = settled.network AND slot.signer = settled.signer AND slot.nonce = settled.nonce AND slot.state = 'final'))`
const forgetEnded = `DELETE FROM flow402x_settlements
  WHERE id IN (SELECT id FROM flow402x_settlements settled WHERE ${over} ORDER BY dead_after LIMIT ?2) RETURNING id`
const forgetSlots = `DELETE FROM flow402x_slots WHERE state = 'final' AND since < ?1 AND NOT EXISTS (SELECT 1 FROM flow402x_settlements rider
  WHERE rider.network = flow402x_slots.network AND rider.signer = flow402x_slots.signer AND rider.nonce = flow402x_slots.nonce)`

const mostRounds = 20
const contended = (): Error => storeErrors('store/contended', { store: 'The journal', attempts: mostRounds })

/** A facilitator's journal in SQL; whoever writes for a signer holds the row of its lease while it does. */
export function sqlJournal(database: SqlDatabase, { outbox, retention = defaultRetention }: SqlOptions): JournalStore {
  const sweep = async (now: number, limit: number): Promise<number> => {
    const forgotten = await database.query(run(forgetEnded, [(now - retention) / 1000, limit]))
    await database.query(run(forgetSlots, [now - retention]))
    return forgotten.length
  }
  const seldom = sweepSeldom(sweep)
  const changes = async (statement: Statement): Promise<boolean> => (await database.query(statement)).length > 0

  return {
    outbox,
    async begin(settlement, now) {
      await seldom(now)
      for (let round = 0; round < mostRounds; round += 1) {
        const answer = await beginOnce(database, settlement, now)
        if (answer !== undefined) return answer
      }
      throw contended()
    },
    async find(id) {
      const [row] = await database.query(run(select, [id]))
      return row === undefined ? undefined : readSettlement(row)
    },
    async bury(claimId, deadAfter) {
      for (let round = 0; round < mostRounds; round += 1) {
        if (await changes(run(dig, [claimId, deadAfter]))) return undefined
        const [row] = await database.query(run(selectClaim, [claimId]))
        if (row !== undefined && row.outcome !== 'buried') return readSettlement(row)
        if (row === undefined) continue
        await database.query(run(keepGrave, [claimId, deadAfter]))
        return undefined
      }
      throw contended()
    },
    async drawn(account) {
      const rows = await database.query(run(drawn, [account]))
      return new Map(rows.map(({ id, amount }) => [String(id), BigInt(String(amount))]))
    },
    async hear({ id, heardUntil }, until) {
      return heardUntil !== undefined && changes(run(hear, [id, heardUntil, until]))
    },
    async conclude({ id, epoch }, outcome) {
      if (outcome?.status === 'pending') return false
      return changes(outcome === undefined ? run(forget, [id, epoch]) : run(end, [id, epoch, JSON.stringify(outcome)]))
    },
    async lease({ network, signer, owner, now, until }) {
      const [row] = await database.query(run(takeLease, [network, signer, owner, until, now]))
      return row === undefined ? undefined : { network, signer, owner, epoch: Number(row.epoch), until }
    },
    async release(lease) {
      await database.query(run(dropLease, leaseValues(lease)))
    },
    prepare: (lease, attempt, options) => database.transaction(() => prepare(lease, attempt, options)),
    async slots({ network, signer }) {
      return (await database.query(run(selectSlots, [network, signer]))).map(readSlot)
    },
    resolve: (lease, key, result) => database.transaction(() => resolve(lease, key, result)),
    async *abandoned(now) {
      let after = ''
      for (;;) {
        const found = (await database.query(run(abandoned, [now, after]))).map(readSettlement)
        yield* found
        const last = found.at(-1)
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

/** One attempt; nothing where what stood was forgotten between two looks at it. */
async function beginOnce(
  database: SqlDatabase,
  { id, deadAfter, claimId, submission, owner, leaseUntil, draw, heardUntil }: NewSettlement,
  now: number,
): Promise<Begun | undefined> {
  const money = [draw?.account ?? null, draw === undefined ? null : String(draw.amount)]
  const fresh = [id, deadAfter, claimId ?? null, JSON.stringify(submission), owner, leaseUntil, ...money, heardUntil ?? null]
  const [begun] = await database.query(run(insert, fresh))
  if (begun !== undefined) return { begun: true, settlement: readSettlement(begun) }
  const [taken] = await database.query(run(takeOver, [id, owner, leaseUntil, now, heardUntil ?? null]))
  if (taken !== undefined) return { begun: true, settlement: readSettlement(taken) }
  const [found] = await database.query(run(select, [id]))
  if (found !== undefined) return { begun: false, settlement: readSettlement(found) }
  const [spent] = claimId === undefined ? [] : await database.query(run(selectClaim, [claimId]))
  return spent === undefined ? undefined : { begun: false }
}

function* prepare(
  lease: SignerLease,
  attempt: SignedTransaction,
  { payments, now }: Parameters<JournalStore['prepare']>[2],
): Work<boolean> {
  const [held] = yield run(holdLease, leaseValues(lease))
  if (held === undefined || attempt.signer !== lease.signer) return false
  const slot = slotValues({ ...lease, nonce: attempt.nonce })
  const ids = [...new Set(payments)]

  const [row] = yield run(selectSlot, slot)
  if (row !== undefined) {
    const found = readSlot(row)
    if (found.state !== 'open' || ids.some((id) => !found.payments.includes(id))) return false
    if (found.attempts.some(({ transaction }) => transaction === attempt.transaction)) return true
    yield run(addAttempt, [...slot, writeAttempts([...found.attempts, attempt]), now])
    return true
  }
  if (ids.length > 0) {
    const linked = yield link(slot, ids)
    if (linked.length < ids.length) {
      yield run(unlink, slot)
      return false
    }
  }
  yield run(insertSlot, [...slot, writeAttempts([attempt]), JSON.stringify(ids), now])
  return true
}

function* resolve(
  lease: SignerLease,
  key: SlotKey,
  { state, outcomes, now, tell: messages = [] }: Parameters<JournalStore['resolve']>[2],
): Work<boolean> {
  const [held] = yield run(holdLease, leaseValues(lease))
  if (held === undefined || key.network !== lease.network || key.signer !== lease.signer) return false
  const slot = slotValues(key)
  const [row] = yield run(selectSlot, slot)
  if (row === undefined) return false
  const found = readSlot(row)
  if (found.state === 'final') return state === 'final'

  const told = found.payments.flatMap((id) => {
    const outcome = outcomes.get(id)
    return outcome === undefined ? [] : [[id, outcome.status === 'pending' ? '' : JSON.stringify(outcome)] as const]
  })
  if (told.length > 0) yield tell(slot, told)
  const left = new Set(state === 'final' ? (yield run(requeue, [...slot, lease.owner, Number(held.lease_until)])).map(({ id }) => id) : [])
  const payments = found.payments.filter((id) => !left.has(id))
  yield run(advanceSlot, [...slot, state, JSON.stringify(payments), state === found.state ? found.since : now])
  yield* putMessages(messages)
  return true
}

function link(slot: readonly Column[], ids: readonly string[]): Statement {
  const { text, values } = table(
    ids.map((id) => [id]),
    4,
  )
  return run(
    `UPDATE flow402x_settlements SET network = ?1, signer = ?2, nonce = ?3, epoch = epoch + 1 WHERE id IN (${text}) AND ${queued} RETURNING id`,
    [...slot, ...values],
  )
}

function tell(slot: readonly Column[], outcomes: readonly (readonly [id: string, outcome: string])[]): Statement {
  const { text, values } = table(outcomes, 4)
  return run(
    `UPDATE flow402x_settlements SET outcome = NULLIF(told.column2, ''), epoch = epoch + 1 FROM (${text}) AS told
      WHERE id = told.column1 AND ${ofSlot}`,
    [...slot, ...values],
  )
}

function leaseValues({ network, signer, owner, epoch }: SignerLease): readonly Column[] {
  return [network, signer, owner, epoch]
}

function slotValues({ network, signer, nonce }: SlotKey): readonly Column[] {
  return [network, signer, String(nonce)]
}
