import { paymentRemainingHeader } from '@flow402x/core/stream'
import { transportErrors } from './errors.ts'
import { createTap, pieces, type Tap, type TapOptions } from './tap.ts'

/** Bytes that are read where they are asked for. */
export interface ByteSource {
  readonly size: number
  readonly type?: string | undefined
  /** A strong validator, in quotes. */
  readonly etag?: string | undefined
  /** The bytes from `from` up to and without `to`, pulled as they are needed. */
  read(from: number, to: number): AsyncIterable<Uint8Array>
}

/** What a lane pays the bytes of. */
export type BytesOnLane = Omit<TapOptions, 'pace' | 'from'> & { readonly source: ByteSource }

/**
 * Which bytes a request asks for: a part, all of them, or none that are there. What asks for several parts gets all (RFC 9110 §14.2 lets a
 * server ignore a range), and so does who continues what has changed since.
 */
export type AskedBytes = { readonly from: number; readonly to: number; readonly isPart: boolean } | 'unsatisfiable'

/** Which bytes the headers of a request ask for. */
export function askedBytes(headers: Pick<Headers, 'get'>, { size, etag }: Pick<ByteSource, 'size' | 'etag'>): AskedBytes {
  const all = { from: 0, to: size, isPart: false }
  const condition = headers.get('if-range')
  if (condition !== null && condition !== etag) return all
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(headers.get('range')?.replaceAll(/[ \t]/g, '') ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return all
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const to = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  if (first !== '' && last !== '' && Number(last) < from) return all
  return from < size && from < to ? { from, to, isPart: true } : 'unsatisfiable'
}

/**
 * The part that is asked for, as far as it is paid (streaming.md §11 b): a 206 with exactly the bytes that the lane has credit for, which
 * says so and what is left. Nothing where not one byte is paid: answer 402.
 */
export function partOnLane(
  { lane, meter, source }: BytesOnLane,
  { from, to }: { readonly from: number; readonly to: number },
): Response | undefined {
  const paid = meter.bytesFor(lane.remaining())
  const length = paid < BigInt(to - from) ? Number(paid) : to - from
  const units = meter.unitsOf(BigInt(length))
  // All of it at once: what the head of the answer promises is paid before it leaves.
  if (length === 0 || lane.take(units, units) !== units) return undefined
  const headers = partHeaders(source, { from, length })
  headers.set(paymentRemainingHeader.name, paymentRemainingHeader.encode(lane.remaining()))
  const body = pulled(exactly(source, { from, to: from + length }), { done: () => lane.release(), gone: () => lane.release() })
  return new Response(body, { status: 206, headers })
}

/**
 * All bytes, each released when it is paid and, on a paced lane, when its time has come; `from` where they broke off. A lane that ends before
 * them resets the connection.
 */
export function wholeOnLane({ lane, meter, source, window }: BytesOnLane, { pace, from = 0 }: Pick<TapOptions, 'pace' | 'from'>): Response {
  const { size } = source
  const tap = createTap({ lane, meter, window, pace, from })
  const body = pulled(tapped(exactly(source, { from, to: size }), tap), {
    done: () => void lane.end('end of content'),
    gone: () => lane.release(),
  })
  if (from > 0) return new Response(body, { status: 206, headers: partHeaders(source, { from, length: size - from }) })
  return new Response(body, { status: 200, headers: headersOf(source, size) })
}

/** What is said of bytes that are not there; nothing is charged for it. */
export function unsatisfiable({ size }: Pick<ByteSource, 'size'>): Response {
  return new Response(null, { status: 416, headers: { 'Content-Range': `bytes */${size}` } })
}

/**
 * A file as a source of bytes.
 *
 * Errors: those of the file system.
 */
export async function fileSource(path: string, { type }: { readonly type?: string } = {}): Promise<ByteSource> {
  const node = globalThis.process?.getBuiltinModule?.('node:fs/promises')
  if (node === undefined) throw transportErrors('stream/no-files', {})
  const { size, mtimeMs } = await node.stat(path)
  return {
    size,
    type,
    etag: `"${size.toString(36)}-${Math.floor(mtimeMs).toString(36)}"`,
    async *read(from, to) {
      const file = await node.open(path)
      try {
        for (let at = from; at < to; ) {
          const { bytesRead, buffer } = await file.read(new Uint8Array(Math.min(chunkSize, to - at)), { position: at })
          if (bytesRead === 0) return
          at += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      } finally {
        await file.close()
      }
    },
  }
}

const chunkSize = 65_536

function partHeaders(source: ByteSource, { from, length }: { readonly from: number; readonly length: number }): Headers {
  const headers = headersOf(source, length)
  headers.set('Content-Range', `bytes ${from}-${from + length - 1}/${source.size}`)
  return headers
}

function headersOf({ type = 'application/octet-stream', etag }: ByteSource, length: number): Headers {
  const headers = new Headers({ 'Content-Type': type, 'Content-Length': String(length), 'Accept-Ranges': 'bytes' })
  if (etag !== undefined) headers.set('ETag', etag)
  return headers
}

/** What was promised and nothing else: a source that has changed meanwhile breaks the answer off. */
async function* exactly(source: ByteSource, { from, to }: { readonly from: number; readonly to: number }): AsyncGenerator<Uint8Array> {
  let left = to - from
  for await (const chunk of source.read(from, to)) {
    left -= chunk.length
    if (left < 0) break
    yield chunk
  }
  if (left !== 0) throw transportErrors('stream/source-changed', {})
}

/** The same bytes in pieces, each once it is paid; they break off where the lane ends before them. */
export async function* tapped(source: AsyncIterable<Uint8Array>, tap: Tap): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    for (const piece of pieces(chunk, tap.most)) {
      if (!(await tap.open(piece))) throw transportErrors('stream/cut-off', {})
      yield piece
      tap.left()
    }
  }
}

/** A body that reads its source only when it is read itself, and says how it ended. */
export function pulled(
  source: AsyncGenerator<Uint8Array>,
  { done, gone }: { readonly done: () => void; readonly gone: () => void },
): ReadableStream<Uint8Array> {
  const body: UnderlyingDefaultSource<Uint8Array> = {
    async pull(controller) {
      try {
        const next = await source.next()
        if (next.done !== true) return controller.enqueue(next.value)
      } catch (error) {
        gone()
        throw error
      }
      done()
      controller.close()
    },
    async cancel() {
      gone()
      await source.return(undefined)
    },
  }
  return new ReadableStream(body, { highWaterMark: 0 })
}
