import type { LogStore } from '@flow402x/core'
import { run, type SqlDatabase } from './database.ts'

/** The logs that paid, in SQL: one row each, for ever. */
export function sqlLogs(database: SqlDatabase): LogStore {
  return {
    async consume({ network, transaction, logIndex }, key) {
      const log = [network, transaction, logIndex]
      if ((await database.query(run(insert, [...log, key]))).length > 0) return true
      const [standing] = await database.query(run(select, log))
      return standing?.key === key
    },
  }
}

const insert = `INSERT INTO flow402x_logs (network, tx, log_index, key) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING RETURNING key`
const select = 'SELECT key FROM flow402x_logs WHERE network = ?1 AND tx = ?2 AND log_index = ?3'
