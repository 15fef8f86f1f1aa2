import type { ViewGrant, ViewStore } from '@flow402x/core/stream'
import { grantColumns, readGrant, writeGrant } from '../claims/grant.ts'
import { run, type SqlDatabase } from '../sql/database.ts'

const columns = grantColumns.join(', ')
const select = `SELECT ${columns} FROM flow402x_views WHERE resource = ?1 AND viewer = ?2`
const first = `INSERT INTO flow402x_views (${columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING RETURNING epoch`
const next = `UPDATE flow402x_views SET epoch = ?3, purchases = ?4, open_until = ?5, proven_at = ?6, expires = ?7
  WHERE resource = ?1 AND viewer = ?2 AND epoch = ?3 - 1 RETURNING epoch`
const forget = 'DELETE FROM flow402x_views WHERE expires < ?1 RETURNING epoch'

/** Grants of views in SQL: one row for each viewer of a resource, which every change names with the epoch it starts from. */
export function sqlViews(database: SqlDatabase): ViewStore {
  return {
    async find({ resource, viewer }) {
      const [row] = await database.query(run(select, [resource, viewer]))
      return row === undefined ? undefined : readGrant(row)
    },
    async put(grant: ViewGrant) {
      return (await database.query(run(grant.epoch === 1 ? first : next, writeGrant(grant)))).length > 0
    },
    async purge(before) {
      return (await database.query(run(forget, [before]))).length
    },
  }
}
