import {
  type Claim,
  type ClaimChange,
  firstIssue,
  type Outcome,
  paymentPayload,
  paymentRequirements,
  type Submission,
} from '@flow402x/core'
import * as z from 'zod/mini'
import { storeErrors } from './errors.ts'

/** A value of a column: the same columns in every engine. */
export type Column = string | number | Uint8Array | null

/** The columns of a claim, in the order of `claimColumns`. */
export type ClaimRow = readonly Column[]

const text = z.string()
/** A column of a number: Redis gives back text where SQL gives back numbers. */
export const number: z.ZodMiniType<number> = z.pipe(z.union([text, z.number()]), z.transform(Number))
/** A column of JSON; what it holds is judged by the schema that follows. */
export const json = z.pipe(
  text,
  z.transform((value, context): unknown => {
    try {
      return JSON.parse(value)
    } catch {
      context.issues.push({ code: 'custom', message: 'no JSON', input: value })
      return z.NEVER
    }
  }),
)
/** An amount as text, of any size. */
export const amount = z.pipe(
  z.string().check(z.regex(/^-?\d+$/)),
  z.transform((digits: string) => BigInt(digits)),
)
const dictionary = z.record(text, z.unknown())

const common = { network: text, payer: z.exactOptional(text) }
/** A column of an outcome, once it is parsed. */
export const outcome: z.ZodMiniType<Outcome> = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('settled'),
    ...common,
    transaction: text,
    amount: z.exactOptional(text),
    extra: z.exactOptional(dictionary),
    extensions: z.exactOptional(dictionary),
  }),
  z.object({ status: z.literal('pending'), ...common, transaction: z.exactOptional(text) }),
  z.object({
    status: z.literal('notSettled'),
    ...common,
    transaction: z.exactOptional(text),
    reason: text,
    message: z.exactOptional(text),
    retry: z.enum(['same', 'resign', 'never']),
    deadAfter: z.exactOptional(z.number()),
  }),
])

/** A column of what a facilitator is asked. */
export const submission = z.pipe(json, z.object({ payment: paymentPayload, requirements: paymentRequirements }))

const claimRow = z.object({
  id: text,
  payer: text,
  dead_after: number,
  binding: text,
  claim_id: text,
  secret: z.nullish(text),
  state: z.enum(['claimed', 'open', 'settling', 'settled', 'delivered', 'failed']),
  epoch: number,
  attempts: number,
  lease_until: number,
  outcome: z.nullish(z.pipe(json, outcome)),
  response_status: z.nullish(number),
  response_headers: z.nullish(z.pipe(json, z.array(z.tuple([text, text])))),
  response_body: z.nullish(z.union([z.instanceof(Uint8Array), z.instanceof(ArrayBuffer)])),
  settled_at: z.nullish(number),
  vouched_by: z.nullish(text),
  submission,
  holder: z.nullish(text),
  asked: z.nullish(text),
  committed: z.nullish(number),
  purse: z.nullish(text),
  amount: z.nullish(text),
})

/** The columns of a claim as every engine names them. */
export const claimColumns = Object.keys(claimRow.shape)

/** The columns that change while a claim is worked on, in the order of `writeProgress`. */
export const progressColumns = claimColumns.slice(claimColumns.indexOf('state'), claimColumns.indexOf('committed'))

/** A claim as its columns hold it: numbers as they are, everything structured as JSON, the body as bytes. */
export function writeClaim(claim: Claim): ClaimRow {
  const { id, payer, deadAfter, binding, claimId, submission, secret = null, committed } = claim
  const fixed = [id, payer, deadAfter, binding, claimId, secret]
  const { amount } = submission.requirements
  return [...fixed, ...writeProgress(claim, claim), committed === undefined ? null : Number(committed), purseOf(submission), amount]
}

/** The columns that change while a claim is worked on; null is "as it was". */
export function writeProgress(claim: Claim, { response, submission }: Pick<ClaimChange, 'response' | 'submission'>): ClaimRow {
  const { state, epoch, attempts, leaseUntil, outcome, settledAt = null, vouchedBy = null, holder = null, asked = null } = claim
  const outcomeText = outcome === undefined ? null : JSON.stringify(outcome)
  const answer = response === undefined ? [null, null, null] : [response.status, JSON.stringify(response.headers), response.body]
  return [
    state,
    epoch,
    attempts,
    leaseUntil,
    outcomeText,
    ...answer,
    settledAt,
    vouchedBy,
    submission === undefined ? null : JSON.stringify(submission),
    holder,
    asked,
  ]
}

/** What claims draw on together: an asset on a network. */
export function purseOf({ requirements }: Submission): string {
  return `${requirements.network} ${requirements.asset}`
}

/**
 * The claim that columns hold.
 *
 * Errors: `store/unreadable` where they were not written by `writeClaim`.
 */
export function readClaim(columns: Readonly<Record<string, unknown>>): Claim {
  const row = readColumns(columns, { schema: claimRow, what: `Claim ${String(columns.id)}` })
  return {
    id: row.id,
    payer: row.payer,
    deadAfter: row.dead_after,
    binding: row.binding,
    claimId: row.claim_id,
    submission: row.submission,
    ...(row.secret == null ? {} : { secret: row.secret }),
    state: row.state,
    epoch: row.epoch,
    attempts: row.attempts,
    leaseUntil: row.lease_until,
    ...(row.outcome == null ? {} : { outcome: row.outcome }),
    ...responseOf(row),
    ...(row.committed == null ? {} : { committed: row.committed === 1 }),
    ...(row.settled_at == null ? {} : { settledAt: row.settled_at }),
    ...(row.vouched_by == null ? {} : { vouchedBy: row.vouched_by }),
    ...(row.holder == null ? {} : { holder: row.holder }),
    ...(row.asked == null ? {} : { asked: row.asked }),
  }
}

/** What columns hold, judged by a schema. Errors: `store/unreadable`. */
export function readColumns<Value>(columns: unknown, expected: { readonly schema: z.ZodMiniType<Value>; readonly what: string }): Value {
  const parsed = z.safeParse(expected.schema, columns)
  if (parsed.success) return parsed.data
  throw storeErrors('store/unreadable', { what: expected.what, why: firstIssue(parsed.error) })
}

function responseOf(row: z.infer<typeof claimRow>): Pick<Claim, 'response'> {
  const { response_status: status, response_headers: headers, response_body: body } = row
  if (status == null || headers == null || body == null) return {}
  return { response: { status, headers, body: new Uint8Array(body) } }
}
