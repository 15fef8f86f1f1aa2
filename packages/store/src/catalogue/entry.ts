import { type Candidate, type CatalogueEntry, category, listing, listingTerms, type NewEntry } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import { type Column, json, readColumns } from '../claims/record.ts'
import type { Row } from '../sql/database.ts'

const text = z.string()
const reason: z.ZodMiniType<CatalogueEntry['reason']> = z.custom((value) => typeof value === 'string')

const entryRow = z.object({
  key: text,
  target: z.pipe(json, z.object({ url: text, method: z.optional(text) })),
  state: z.enum(['pending', 'listed', 'unlisted', 'rejected']),
  reason,
  note: z.nullable(text),
  since: z.number(),
  claims: z.pipe(
    json,
    z.object({
      name: z.optional(text),
      description: z.optional(text),
      category: z.optional(category),
      tags: z.optional(z.array(text)),
      rateLimit: z.optional(text),
      uptime: z.optional(text),
    }),
  ),
  listing: z.nullable(z.pipe(json, listing)),
  quality: z.number(),
  failures: z.number(),
  next_probe_at: z.number(),
  epoch: z.number(),
})

/** The columns of an entry as it is read. */
export const entryColumns = Object.keys(entryRow.shape).join(', ')

/** The columns that change, in the order of `changeOf`. */
export const changedColumns = [
  'origin',
  'page',
  'payee',
  'target',
  'state',
  'reason',
  'note',
  'since',
  'claims',
  'listing',
  'terms',
  'quality',
  'failures',
  'next_probe_at',
]

/** The values of the columns that change. Terms are there for listed entries alone. */
export function changeOf({
  target,
  state,
  reason: why,
  note,
  since,
  claims,
  listing: listed,
  quality,
  failures,
  nextProbeAt,
}: Omit<NewEntry, 'key'>): Column[] {
  const terms = state === 'listed' && listed !== undefined ? listingTerms(listed).join(' ') : ''
  const payee = listed?.accepts[0]?.payTo ?? ''
  const told = listed === undefined ? null : JSON.stringify(listed)
  const { origin, pathname } = new URL(target.url)
  return [
    origin,
    `${origin}${pathname}`,
    payee,
    JSON.stringify(target),
    state,
    why,
    note ?? null,
    since,
    JSON.stringify(claims),
    told,
    terms,
    quality,
    failures,
    nextProbeAt,
  ]
}

/** The entry that columns hold. Errors: `store/unreadable`. */
export function readEntry(row: Row): CatalogueEntry {
  const {
    next_probe_at: nextProbeAt,
    listing: listed,
    note,
    ...rest
  } = readColumns(row, { schema: entryRow, what: `Listing ${String(row.key)}` })
  return { ...rest, nextProbeAt, ...(listed === null ? {} : { listing: listed }), ...(note === null ? {} : { note }) }
}

const candidateRow = z.object({ key: text, quality: z.number(), terms: text, origin: text, payee: text })

/** The candidate that columns hold. Errors: `store/unreadable`. */
export function readCandidate(row: Row): Candidate {
  return readColumns(row, { schema: candidateRow, what: `Listing ${String(row.key)}` })
}
