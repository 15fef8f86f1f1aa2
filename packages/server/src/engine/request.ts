import { requestBinding, sha256 } from '@flow402x/core'
import { serverErrors } from './errors.ts'

/** What the engine needs of a request, whatever the framework. */
export type IncomingRequest = {
  readonly method: string
  /** Absolute, as the client asked for it. */
  readonly url: string
  header(name: string): string | undefined
  /** The whole body, or nothing past `limit` bytes; the handler can still read it afterwards. */
  body(limit: number): Promise<Uint8Array | undefined>
}

/** What a purchase is known by: here, and to a payer who committed a payment to it. */
export type Binding = {
  /** What makes two requests the same purchase: method, URL, body and credentials (M12). */
  readonly binding: string
  /** The request as its payer makes it out as well (M2). */
  readonly request: string
}

/** What makes a request the purchase that it is. */
export async function bindingOf(request: IncomingRequest, body: Uint8Array): Promise<Binding> {
  const { method, url } = request
  const bodyHash = await digest(body)
  const parts = [method, url, bodyHash, await digest(utf8.encode(request.header('authorization') ?? ''))]
  return { binding: await digest(utf8.encode(parts.join('\n'))), request: requestBinding({ method, url, bodyHash }) }
}

/** SHA-256 as lower-case hex. */
async function digest(bytes: Uint8Array): Promise<string> {
  const hash = sha256(bytes)
  if (hash === undefined) throw serverErrors('config/no-digest', {})
  return hash
}

/** Bytes as WebCrypto and fetch want them typed. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // Every view in this package is over an ArrayBuffer: none is made over a shared one.
  return bytes as Uint8Array<ArrayBuffer>
}

/** SHA-256 of a text as lower-case hex. */
export function digestText(text: string): Promise<string> {
  return digest(utf8.encode(text))
}

const utf8 = new TextEncoder()
