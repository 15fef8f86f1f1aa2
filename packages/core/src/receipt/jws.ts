import * as z from 'zod/mini'
import { fromBase64, textToBase64, toBase64 } from '../calls/base64.ts'

/** A compact JWS (RFC 7515), read and not verified: what was signed is `input`, byte for byte. */
export type Jws = {
  readonly alg: string
  /** Names the key, such as `did:key:z6Mk…`. */
  readonly kid: string
  readonly payload: unknown
  readonly input: Uint8Array
  readonly signature: Uint8Array
}

/** The text that is signed for a flat object, in the canonical form of RFC 8785. */
export function jwsInput(header: { readonly alg: string; readonly kid: string }, payload: Readonly<Record<string, unknown>>): string {
  return `${encodeText(JSON.stringify(header))}.${encodeText(canonical(payload))}`
}

/** A signed text with its signature. */
export function compactJws(input: string, signature: Uint8Array): string {
  return `${input}.${toUrl(toBase64(signature))}`
}

/** Reads a compact JWS; nothing for text that is none. */
export function readJws(text: string): Jws | undefined {
  const [head, body, tail, ...more] = text.split('.')
  if (head === undefined || body === undefined || tail === undefined || more.length > 0) return undefined
  const header = z.safeParse(jwsHeader, decodeJson(head))
  const signature = decode(tail)
  const payload = decodeJson(body)
  if (!header.success || signature === undefined || payload === undefined) return undefined
  const { alg, kid } = header.data
  return { alg, kid, payload, input: utf8.encode(`${head}.${body}`), signature }
}

// What a JWS that carries `crit` means nobody knows who does not know the name in it (RFC 7515 §4.1.11).
const jwsHeader = z.looseObject({ alg: z.string(), kid: z.string().check(z.maxLength(256)), crit: z.optional(z.never()) })

/** Members in the order of their names; JSON.stringify writes texts and integers as RFC 8785 wants them. */
function canonical(value: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))))
}

function encodeText(text: string): string {
  return toUrl(textToBase64(text))
}

function toUrl(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

function decode(text: string): Uint8Array | undefined {
  if (!/^[\w-]*$/.test(text)) return undefined
  return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'))
}

function decodeJson(text: string): unknown {
  const bytes = decode(text)
  if (bytes === undefined) return undefined
  try {
    return JSON.parse(strict.decode(bytes))
  } catch {
    return undefined
  }
}

const utf8 = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true })
