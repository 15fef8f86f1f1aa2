import type { ViewGrant } from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { type Column, json, number, readColumns } from './record.ts'

const purchase = z.object({ id: z.string(), views: z.exactOptional(z.number()), used: z.number(), until: z.number() })
const grantRow = z.object({
  resource: z.string(),
  viewer: z.string(),
  epoch: number,
  purchases: z.pipe(json, z.array(purchase)),
  open_until: number,
  proven_at: number,
  expires: number,
})

/** The columns of a grant of views, in the order in which they are written. */
export const grantColumns: readonly string[] = Object.keys(grantRow.shape)

/** A grant as its columns. */
export function writeGrant({ resource, viewer, epoch, purchases, openUntil, provenAt, expires }: ViewGrant): readonly Column[] {
  return [resource, viewer, epoch, JSON.stringify(purchases), openUntil, provenAt, expires]
}

/** Columns as a grant. Errors: `store/unreadable`. */
export function readGrant(row: Readonly<Record<string, unknown>>): ViewGrant {
  const {
    open_until: openUntil,
    proven_at: provenAt,
    ...rest
  } = readColumns(row, { schema: grantRow, what: `Views of ${String(row.viewer)}` })
  return { ...rest, openUntil, provenAt }
}
