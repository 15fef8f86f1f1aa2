import type { Payee, PayeeStore } from '@flow402x/core'
import * as z from 'zod/mini'
import { readColumns } from '../claims/record.ts'
import { type Row, run, type SqlDatabase } from './database.ts'

const payeeRow = z.object({ pay_to: z.string(), asset: z.string() })

/** Known payees in SQL: one row for each origin, network and scheme. */
export function sqlPayees(database: SqlDatabase): PayeeStore {
  return {
    async find({ origin, network, scheme }) {
      const [row] = await database.query(run(select, [origin, network, scheme]))
      return row === undefined ? undefined : payeeOf(row)
    },
    async pin({ origin, network, scheme }, { payTo, asset }, was) {
      const values = [origin, network, scheme, payTo, asset, was?.payTo ?? '', was?.asset ?? '']
      const [row] = await database.query(run(keep, values))
      return payeeOf(row)
    },
  }
}

const select = 'SELECT pay_to, asset FROM flow402x_payees WHERE origin = ?1 AND network = ?2 AND scheme = ?3'
const unchanged = 'flow402x_payees.pay_to = ?6 AND flow402x_payees.asset = ?7'
// Writing what stands gives it back.
const keep = `INSERT INTO flow402x_payees (origin, network, scheme, pay_to, asset) VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (origin, network, scheme) DO UPDATE SET
    pay_to = CASE WHEN ${unchanged} THEN excluded.pay_to ELSE flow402x_payees.pay_to END,
    asset = CASE WHEN ${unchanged} THEN excluded.asset ELSE flow402x_payees.asset END
  RETURNING pay_to, asset`

function payeeOf(row: Row | undefined): Payee {
  const { pay_to: payTo, asset } = readColumns(row, { schema: payeeRow, what: 'A payee' })
  return { payTo, asset }
}
