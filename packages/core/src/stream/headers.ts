import * as z from 'zod/mini'
import { coreErrors, isX402Error } from '../protocol/errors.ts'
import type { HeaderCodec } from '../protocol/headers.ts'
import { formatRate, parseRate, type Rate } from '../protocol/rate.ts'
import { readUnits, type Units, unitsText, writeUnits } from './cost.ts'
import { streamErrors } from './errors.ts'

const mostText = 512
// A pass names what it opens.
const mostPass = 2048
const decimal = '\\d{1,20}(?:\\.\\d{1,18})?'
const caip2 = '[-a-z0-9]{3,8}:[-_A-Za-z0-9]{1,32}'
// The last letter of 16 or 32 bytes leaves bits over: they are zero, so that one lane has one name.
const sid = '[-_A-Za-z0-9]{21}[AQgw]'
const mac = '[-_A-Za-z0-9]{42}[AEIMQUYcgkosw048]'
const rateText = exactly(`${decimal} [A-Za-z0-9]{3,12}/[A-Za-z][-A-Za-z0-9]{0,31}`)
const resumeText = exactly(`(${sid})[ \\t]*;[ \\t]*from=(${decimal})`)
const laneText = exactly(`(${sid})\\.(${mac})`)
const passText = exactly(`([-_A-Za-z0-9]+)\\.(${mac})`)
const paramText = /[ \t]*([a-z][-a-z0-9]*)=(?:"([ !#-[\]-~]*)"|([-\w.:]{1,64}))[ \t]*(?:;(?=.)|$)/y

const sidForm = exactly(sid)

/** The name of a lane: 16 bytes in base64url, written the one way there is. */
export const sidText = z.string().check(z.regex(sidForm, 'it names no lane'))

/** Whether a text is such a name. */
export function isSid(text: string): boolean {
  return sidForm.test(text)
}

/** A path on the origin of who says it: it starts with one slash (streaming.md §5.3). */
export const ownPath = z.string().check(z.regex(/^\/(?![/\\])[!#-[\]-~]*$/, 'it is no path on the same origin'))

/** How a lane is counted: by wall time while it flows, or by the time of what is handed over (streaming.md §3.3). */
export const clock = z.enum(['wall', 'media'])

/** How a lane is counted: by wall time while it flows, or by the time of what is handed over (streaming.md §3.3). */
export type Clock = z.infer<typeof clock>

const number = z.pipe(z.string().check(z.regex(exactly(decimal))), z.transform(Number))

/**
 * What `Payment-Stream` says (streaming.md §5.3): the terms on a 402, the lane on a 200. `ttl` is in seconds and what counts, `until` (Unix
 * ms) only a hint. Of a recording so many `bytes` last `length`. A `v` other than `1` is another protocol.
 */
const streamParams = z.object({
  v: z.string().check(z.regex(/^[-\w.:]{1,64}$/)),
  clock: z.optional(clock),
  buy: z.optional(unitsText),
  tick: z.optional(unitsText),
  window: z.optional(unitsText),
  'max-window': z.optional(unitsText),
  'tick-url': z.optional(ownPath),
  ws: z.optional(ownPath),
  refundable: z.optional(
    z.pipe(
      z.enum(['0', '1']),
      z.transform((text) => text === '1'),
    ),
  ),
  sid: z.optional(sidText),
  bytes: z.optional(unitsText),
  length: z.optional(unitsText),
  ttl: z.optional(number),
  until: z.optional(number),
})

/** What `Payment-Stream` says (streaming.md §5.3); numbers of units are `Units`. */
export type StreamParams = z.infer<typeof streamParams>

const quoted = new Set(['tick-url', 'ws', 'sid'])

/** Where a reader goes on: in the lane `sid`, `from` so many units. */
export type Resume = { readonly sid: string; readonly from: Units }

/** What its server has sealed: `mac` is an HMAC over what stands before it. */
export type Sealed = { readonly body: string; readonly mac: string }

/** `Payment-Address`: the payee of each entry of `accepts`, in their order. */
export const paymentAddressHeader: HeaderCodec<readonly string[]> = listHeader('Payment-Address', exactly('[!-+\\--~]{1,128}'))

/** `Payment-Token`: the asset of each entry of `accepts`: its CAIP-19 id, or a symbol, which alone is never paid. */
export const paymentTokenHeader: HeaderCodec<readonly string[]> = listHeader(
  'Payment-Token',
  exactly(`${caip2}/[-a-z0-9]{3,8}:[-.%A-Za-z0-9]{1,128}|[A-Za-z0-9]{1,12}`),
)

/** `Network`: the network of each entry of `accepts`: its CAIP-2 id or a friendly word. */
export const networkHeader: HeaderCodec<readonly string[]> = listHeader('Network', exactly(`${caip2}|[-A-Za-z0-9]{1,32}`))

/** `Payment-Rate`: `0.01 USD/second`. */
export const paymentRateHeader: HeaderCodec<Rate> = textHeader('Payment-Rate', {
  write: formatRate,
  read: (text) => (rateText.test(text) ? parseRate(text) : undefined),
})

/** `Payment-Stream`: unknown keys are ignored, duplicates refused (streaming.md §5.2). */
export const paymentStreamHeader: HeaderCodec<StreamParams> = textHeader('Payment-Stream', { write: writeParams, read: readParams })

/** `Payment-Remaining`: the units of credit that are left. */
export const paymentRemainingHeader: HeaderCodec<Units> = textHeader('Payment-Remaining', { write: writeUnits, read: readUnits })

/** `Payment-Resume`: which lane goes on, and from where. */
export const paymentResumeHeader: HeaderCodec<Resume> = textHeader('Payment-Resume', {
  write: ({ sid, from }) => `${sid}; from=${writeUnits(from)}`,
  read(text) {
    const [, sid, from = ''] = resumeText.exec(text) ?? []
    const units = readUnits(from)
    return sid === undefined || units === undefined ? undefined : { sid, from: units }
  },
})

/** `Flow402x-Lane`: lets its bearer draw on a lane, whose `sid` is the body. */
export const laneHeader: HeaderCodec<Sealed> = textHeader('Flow402x-Lane', sealed(laneText))

/** `Payment-Pass`: an access window or a grant to view. */
export const paymentPassHeader: HeaderCodec<Sealed> = textHeader('Payment-Pass', { ...sealed(passText), limit: mostPass })

type Writing<Value> = { readonly limit?: number; write(value: Value): string; read(text: string): Value | undefined }

/** A header of plain text; what is written is read as well, so that nothing leaves that a peer would refuse. */
function textHeader<Value>(name: string, { write, read, limit = mostText }: Writing<Value>): HeaderCodec<Value> {
  const decode = (header: string): Value => {
    if (header.length > limit) throw coreErrors('headers/too-large', { header: name, length: header.length, limit })
    const value = readOrWhy(header, read)
    if (value === undefined) throw streamErrors('stream/bad-header', { header: name, why: 'it does not follow the grammar of FS/1 §5.2' })
    return value
  }
  return {
    name,
    limit,
    decode,
    encode(value) {
      const header = write(value)
      decode(header)
      return header
    },
  }
}

function readOrWhy<Value>(header: string, read: (text: string) => Value | undefined): Value | undefined {
  try {
    return read(header)
  } catch (error) {
    if (isX402Error(error)) return undefined
    throw error
  }
}

function listHeader(name: string, item: RegExp): HeaderCodec<readonly string[]> {
  return textHeader<readonly string[]>(name, {
    write: (items) => items.join(', '),
    read(text) {
      const items = text.split(',').map((one) => one.replace(/^[ \t]+|[ \t]+$/g, ''))
      return items.every((one) => item.test(one)) ? items : undefined
    },
  })
}

function sealed(text: RegExp): Writing<Sealed> {
  return {
    write: ({ body, mac }) => `${body}.${mac}`,
    read(header) {
      const [, body, mac] = text.exec(header) ?? []
      return body === undefined || mac === undefined ? undefined : { body, mac }
    },
  }
}

function readParams(text: string): StreamParams | undefined {
  const said = new Map<string, string>()
  for (paramText.lastIndex = 0; paramText.lastIndex < text.length; ) {
    const [, key, inQuotes, bare] = paramText.exec(text) ?? []
    const value = inQuotes ?? bare
    if (key === undefined || value === undefined || said.has(key)) return undefined
    said.set(key, value)
  }
  return z.safeParse(streamParams, Object.fromEntries(said)).data
}

function writeParams(params: StreamParams): string {
  const written = Object.entries(params).flatMap(([key, value]) => {
    if (value === undefined) return []
    if (typeof value === 'bigint') return [`${key}=${writeUnits(value)}`]
    if (typeof value === 'boolean') return [`${key}=${value ? 1 : 0}`]
    // Less than a millisecond would be written with an exponent.
    if (typeof value === 'number') return [`${key}=${value < 0.001 ? 0 : value}`]
    return [quoted.has(key) ? `${key}="${value}"` : `${key}=${value}`]
  })
  return written.join('; ')
}

function exactly(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern})$`)
}
