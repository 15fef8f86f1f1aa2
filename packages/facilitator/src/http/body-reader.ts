import { facilitatorErrors } from '../engine/errors.ts'
import type { Call } from './routes.ts'

/** The JSON of a request of at most `limit` bytes. Errors: `request/too-large`, `request/malformed`. */
export async function readJson({ header, bytes }: Call, { limit }: { readonly limit: number }): Promise<unknown> {
  const announced = Number(header('content-length') ?? 0)
  const body = announced > limit ? undefined : await bytes(limit)
  if (body === undefined) throw facilitatorErrors('request/too-large', { limit })
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw facilitatorErrors('request/malformed', { why: 'its body is not JSON in UTF-8', cause })
  }
}

/** All bytes of a body, or nothing past `limit`. */
export async function collect(body: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > limit) return undefined
    parts.push(part)
  }
  const [only = new Uint8Array()] = parts
  if (parts.length <= 1) return only
  const bytes = new Uint8Array(length)
  parts.reduce((at, part) => {
    bytes.set(part, at)
    return at + part.length
  }, 0)
  return bytes
}
