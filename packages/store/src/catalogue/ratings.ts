import type { CatalogueStore, KeptRating } from '@flow402x/core/bazaar'
import { signedReceipt } from '@flow402x/core/receipt'
import * as z from 'zod/mini'
import { json, readColumns } from '../claims/record.ts'
import { type Row, run, type SqlDatabase } from '../sql/database.ts'
import { addressKey } from './question.ts'

const ratingRow = z.object({
  key: z.string(),
  network: z.string(),
  payer: z.string(),
  tx: z.string(),
  stars: z.number(),
  comment: z.nullable(z.string()),
  issued_at: z.number(),
  receipt: z.nullable(z.pipe(json, signedReceipt)),
  cluster: z.string(),
})
const columns = Object.keys(ratingRow.shape).join(', ')

const keepPayment = `INSERT INTO flow402x_listing_payments (network, tx, log_index, key, payer, pay_to, payer_cluster, seller_cluster, at)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING RETURNING key`
// Only who is known to have paid for this listing is heard, and the later of his words stands.
const keepRating = `INSERT INTO flow402x_listing_ratings (${columns})
  SELECT ?1, ?2, ?3, ?4, CAST(?5 AS INTEGER), CAST(?6 AS TEXT), CAST(?7 AS DOUBLE PRECISION), CAST(?8 AS TEXT), p.payer_cluster
    FROM flow402x_listing_payments p WHERE p.key = ?1 AND p.network = ?2 AND p.payer = ?3 AND p.tx = ?4 LIMIT 1
  ON CONFLICT (key, network, payer) DO UPDATE SET tx = excluded.tx, stars = excluded.stars, comment = excluded.comment,
    issued_at = excluded.issued_at, receipt = excluded.receipt, cluster = excluded.cluster
    WHERE flow402x_listing_ratings.issued_at < excluded.issued_at
  RETURNING key`
const mostHeard = 500
// A cluster that pays its own sellers is no payer. What it has paid to others tells how much its word counts, where somebody else pays
// them as well: sellers that only one cluster pays may be its own.
const payers = `SELECT c.payer_cluster AS cluster,
    (SELECT COUNT(DISTINCT o.seller_cluster) FROM flow402x_listing_payments o
      WHERE o.payer_cluster = c.payer_cluster AND o.seller_cluster <> o.payer_cluster AND o.seller_cluster <> c.seller_cluster
        AND EXISTS (SELECT 1 FROM flow402x_listing_payments w
          WHERE w.seller_cluster = o.seller_cluster AND w.payer_cluster <> o.payer_cluster AND w.payer_cluster <> w.seller_cluster)) AS others
  FROM (SELECT DISTINCT payer_cluster, seller_cluster FROM flow402x_listing_payments
    WHERE key = ?1 AND payer_cluster <> seller_cluster LIMIT ${mostHeard}) c`
const ratings = `SELECT ${columns} FROM flow402x_listing_ratings WHERE key = ?1 ORDER BY issued_at DESC LIMIT ${mostHeard}`

/** Payments that a chain showed, and what their payers say, in SQL. */
export function sqlRatings(database: SqlDatabase): Pick<CatalogueStore, 'witness' | 'rate' | 'standing'> {
  return {
    async witness({ network, transaction, index, key, payer, payTo, payerCluster, sellerCluster, at }) {
      const values = [network, transaction, index, key, addressKey(payer), addressKey(payTo), payerCluster, sellerCluster, at]
      return (await database.query(run(keepPayment, values))).length > 0
    },
    async rate({ key, network, payer, transaction, stars, comment, issuedAt, receipt }) {
      const told = receipt == null ? null : JSON.stringify(receipt)
      const values = [key, network, addressKey(payer), transaction, stars, comment ?? null, issuedAt, told]
      return (await database.query(run(keepRating, values))).length > 0
    },
    async standing(key) {
      const [paid, said] = await Promise.all([database.query(run(payers, [key])), database.query(run(ratings, [key]))])
      return {
        payers: paid.map(({ cluster, others }) => ({ cluster: String(cluster), unrelatedSellers: Number(others) })),
        ratings: said.map(ratingOf),
      }
    },
  }
}

function ratingOf(row: Row): KeptRating & { readonly cluster: string } {
  const {
    tx: transaction,
    issued_at: issuedAt,
    receipt,
    comment,
    ...rest
  } = readColumns(row, { schema: ratingRow, what: `A rating of ${String(row.key)}` })
  return { ...rest, transaction, issuedAt, ...(receipt === null ? {} : { receipt }), ...(comment === null ? {} : { comment }) }
}
