import * as z from 'zod/mini'
import { readUnits, unitsText, writeUnits } from './cost.ts'
import { isSid, sidText } from './headers.ts'

const amountForm = /^\d{1,39}$/
const [longestId, longestSignature] = [128, 256]

const amount = z.pipe(
  z.string().check(z.regex(amountForm, 'it is no amount in atomic units')),
  z.transform((text) => BigInt(text)),
)

/** A payer's signature over a channel's cumulative ceiling, as it stands in ticks: of any chain that has channels. */
export const streamVoucher = z.object({
  channelId: z.string().check(z.minLength(1), z.maxLength(longestId)),
  maxClaimableAmount: amount,
  signature: z.string().check(z.minLength(1), z.maxLength(longestSignature)),
})

/** A payer's signature over a channel's cumulative ceiling, as it stands in ticks. */
export type StreamVoucher = z.infer<typeof streamVoucher>

/** A tick of grade B (M3 of streaming.md §6). `seq` is for traces; `seen` says what its payer has received. */
const streamTick = z.object({
  sid: sidText,
  seq: z.optional(z.int().check(z.nonnegative())),
  voucher: streamVoucher,
  seen: z.optional(z.object({ units: unitsText })),
  op: z.optional(z.never()),
})

/** A payer's word about his lane (M6 of streaming.md §6): `close` ends the lane and moves no money of the channel. */
const streamOp = z.object({
  sid: sidText,
  op: z.enum(['pause', 'resume', 'close']),
  final: z.optional(streamVoucher),
})

/** What is posted to a tick URL with no payment header: a tick, or a word about a lane. */
export const laneMessage = z.union([streamTick, streamOp])

/** What is posted to a tick URL with no payment header: a tick, or a word about a lane. */
export type LaneMessage = z.infer<typeof laneMessage>

/** The answer to a tick of grade B; `ttl` is the seconds of credit that are left, where units are time. */
export const tickAnswer = z.object({
  accepted: amount,
  consumed: amount,
  charged: amount,
  ttl: z.optional(z.number().check(z.nonnegative())),
  channel: z.optional(z.looseObject({ balance: amount, claimed: amount, withdrawRequestedAt: z.int() })),
})

/** The answer to a tick of grade B; `ttl` is the seconds of credit that are left, where units are time. */
export type TickAnswer = z.infer<typeof tickAnswer>

/** What a tick that is stale is told: from where its payer may sign on. */
const staleAnswer = z.looseObject({ accepted: amount })

/** The answer to a word about a lane: of one that was closed, what was used of it in all, and what its channel was charged in all. */
const laneAnswer = z.looseObject({ state: z.string(), consumed: z.optional(amount), charged: z.optional(amount) })

/**
 * What a server says inside a body (M5 of streaming.md §6): credit runs low, so much more is needed, the gate is shut or open, the lane
 * came to this. `need` is the ceiling to sign for; `units` of a receipt are those that were delivered.
 */
export const controlEvent = z.object({
  t: z.enum(['low', 'need', 'gated', 'open', 'receipt', 'end']),
  sid: sidText,
  consumed: z.optional(amount),
  charged: z.optional(amount),
  need: z.optional(amount),
  units: z.optional(unitsText),
  ttl: z.optional(z.number().check(z.nonnegative())),
  until: z.optional(z.number()),
  reason: z.optional(z.string()),
})

/** What a server says inside a body (M5 of streaming.md §6). */
export type ControlEvent = z.infer<typeof controlEvent>

/** The name of control events in SSE. */
export const controlEventName = 'flow402x'

/** The only member of a line of ndjson that is a control event. */
export const controlMember = '$flow402x'

/** Reads what was posted to a tick URL; nothing for what is neither a tick nor a word about a lane. */
export function readLaneMessage(text: string): LaneMessage | undefined {
  return read(laneMessage, text, plainTick)
}

/** Reads the answer to a tick; nothing for anything else. */
export function readTickAnswer(text: string): TickAnswer | undefined {
  return read(tickAnswer, text)
}

/** Reads from where a stale tick's payer may sign on; nothing for an answer that does not say. */
export function readStaleAnswer(text: string): bigint | undefined {
  return read(staleAnswer, text)?.accepted
}

/** Reads what was used in all of a lane that was closed, and charged over its channel; nothing for an answer that does not say. */
export function readClosedAnswer(text: string): Partial<Pick<z.infer<typeof laneAnswer>, 'consumed' | 'charged'>> {
  const { state, consumed, charged } = read(laneAnswer, text) ?? {}
  return state === 'ended' ? { consumed, charged } : {}
}

/** Reads the data of a control event in SSE; nothing for anything else. */
export function readControlEvent(text: string): ControlEvent | undefined {
  return read(controlEvent, text)
}

/** Reads a line of ndjson that is a control event; nothing for a line of the application. */
export function readControlLine(text: string): ControlEvent | undefined {
  return text.startsWith(`{"${controlMember}":`)
    ? read(z.strictObject({ [controlMember]: controlEvent }), text)?.[controlMember]
    : undefined
}

/** Writes any of these messages: amounts and units as decimal strings. */
export function writeMessage(message: LaneMessage | TickAnswer | ControlEvent): string {
  return JSON.stringify(message, (key, value: unknown) => {
    if (typeof value !== 'bigint') return value
    return key === 'units' ? writeUnits(value) : String(value)
  })
}

function read<Value>(schema: z.ZodMiniType<Value>, text: string, plain?: (value: unknown) => Value | undefined): Value | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return plain?.(value) ?? z.safeParse(schema, value).data
  } catch {
    return undefined
  }
}

/**
 * A tick that has nothing unusual in it, as the schema would read it: of all that is read it comes most often, and a schema takes six times
 * as long. Whatever is not found plain here the schema judges.
 */
function plainTick(value: unknown): z.infer<typeof streamTick> | undefined {
  if (!isObject(value) || !isObject(value.voucher) || value.op !== undefined) return undefined
  const { sid, seq, seen } = value
  const { channelId, maxClaimableAmount: max, signature } = value.voucher
  if (typeof sid !== 'string' || !isSid(sid) || typeof max !== 'string' || !amountForm.test(max)) return undefined
  if (!isText(channelId, longestId) || !isText(signature, longestSignature)) return undefined
  if (seq !== undefined && !(typeof seq === 'number' && Number.isSafeInteger(seq) && seq >= 0)) return undefined
  const units = isObject(seen) && typeof seen.units === 'string' ? readUnits(seen.units) : undefined
  if (seen !== undefined && units === undefined) return undefined
  const voucher = { channelId, maxClaimableAmount: BigInt(max), signature }
  return { sid, seq, voucher, seen: units === undefined ? undefined : { units } }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= longest
}
