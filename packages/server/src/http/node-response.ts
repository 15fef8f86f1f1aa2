import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { settlementOverridesHeader } from '@flow402x/core'
import type { Dress, LeavingHeaders } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import type { HandlerResult, Sent } from '../engine/run.ts'

/** A response whose bytes wait: nothing the handler does to it leaves before `deliver`. */
export type TakenResponse = {
  /** The head and, where it ended within the limit, the body; rejects when the handler destroys the response. */
  readonly result: Promise<HandlerResult>
  /** Lets what was written leave, and everything after it as it comes. */
  deliver(dress: Dress, sent?: Sent): void
  /** Drops what was written and lets `write` answer, at once and whole; from then on the handler's writes go nowhere. */
  replace(write: () => void): void
}

type Write = { readonly chunk: string | Buffer; readonly encoding: BufferEncoding; readonly done?: (() => void) | undefined }

const informers = ['writeContinue', 'writeProcessing', 'writeEarlyHints'] as const
const writers = ['writeHead', 'flushHeaders', 'write', 'end', 'destroy', 'addTrailers', ...informers] as const
const setters = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const
// In the order in which they are taken: what is given back from the last to the first leaves the object as fast as it was.
const taken = [...writers, 'headersSent', 'writableEnded'] as const

/**
 * Takes a response from its handler. The result is there when the handler has ended it, or has written more than `limit`
 * bytes; with a limit of zero, as soon as its head is known.
 */
export function takeResponse(response: ServerResponse, limit: number): TakenResponse {
  const before = response.getHeaders()
  const restore = ownProperties(response)
  const held = holdWrites(response, limit)
  return {
    result: held.result,
    deliver(dress, sent) {
      restore()
      dress(headersOf(response))
      watchDeparture(response, sent)
      held.release()
    },
    replace(write) {
      restore()
      for (const name of response.getHeaderNames()) response.removeHeader(name)
      for (const [name, value] of Object.entries(before)) if (value !== undefined) response.setHeader(name, value)
      response.statusMessage = ''
      write()
      mute(response)
    },
  }
}

/**
 * Says how a response left: handed over to its last byte, or its reader went away after the first, which counts as much (M9). One that
 * its own side broke off has not left, nor has one whose reader was gone before.
 */
export function watchDeparture(response: ServerResponse, sent: Sent | undefined): void {
  if (sent === undefined) return
  if (response.destroyed) return void sent(false)
  const { destroy } = response
  let isBroken = false
  Object.assign(response, {
    destroy: (...given: Parameters<typeof destroy>) => {
      // Those who read along destroy what has closed.
      isBroken ||= !response.destroyed
      return Reflect.apply(destroy, response, given)
    },
  })
  response.once('finish', () => void sent(true)).once('close', () => void sent(!isBroken))
}

/** What the methods below keep; on the response, since methods of one's own for each would cost more than all they do. */
const holding = Symbol('holding')
type Held = { headed: boolean; ended: { readonly done: (() => void) | undefined } | undefined }
type Holding = { readonly [holding]?: Held }

const heldStates: PropertyDescriptorMap & ThisType<Holding> = {
  headersSent: {
    configurable: true,
    get() {
      return this[holding]?.headed
    },
  },
  writableEnded: {
    configurable: true,
    get() {
      return this[holding]?.ended !== undefined
    },
  },
}

/** Puts methods of its own on the response that keep what is written; `release` writes it for real. */
function holdWrites(response: ServerResponse, limit: number): { result: Promise<HandlerResult>; release: () => void } {
  const { promise: result, resolve, reject } = defer<HandlerResult>()
  result.catch(() => {})
  const pending: Write[] = []
  const trailers: Parameters<ServerResponse['addTrailers']>[0][] = []
  const held: Held = { headed: false, ended: undefined }
  let [length, full] = [0, false]
  let destroyed: { readonly cause: Error | undefined } | undefined

  const head = () => {
    held.headed = true
    if (limit === 0) resolve(resultOf(response))
  }
  const take = (chunk: unknown, encoding: unknown, done?: () => void): boolean => {
    const write = writeOf(chunk, encoding)
    length += lengthOf(write)
    full = length > limit
    pending.push(full ? { ...write, done } : write)
    if (!full && done !== undefined) process.nextTick(done)
    if (full && limit > 0) resolve(resultOf(response))
    // Who is told to wait waits for `drain`: within the limit nobody may, for the response is wanted whole.
    return !full
  }
  Object.assign(response, {
    [holding]: held,
    writeHead: (status: number, ...rest: unknown[]) => {
      applyHead(response, status, rest)
      head()
      return response
    },
    flushHeaders: head,
    write: (chunk: unknown, ...rest: unknown[]) => {
      if (!held.headed) head()
      return take(chunk, rest[0], callback(rest))
    },
    end: (...given: unknown[]) => {
      if (held.ended !== undefined) return response
      const [chunk, encoding] = given.filter((one) => typeof one !== 'function')
      if (!held.headed) head()
      if (chunk !== undefined && chunk !== null) take(chunk, encoding)
      held.ended = { done: callback(given) }
      resolve(resultOf(response, full && limit > 0 ? undefined : pending))
      return response
    },
    destroy: (cause?: unknown) => {
      destroyed = { cause: cause instanceof Error ? cause : undefined }
      reject(serverErrors('payment/handler-failed', { cause }))
      return response
    },
    addTrailers: (given: (typeof trailers)[number]) => trailers.push(given),
    // Goods could leave in a 1xx as well (M7).
    writeContinue: nothing,
    writeProcessing: nothing,
    writeEarlyHints: nothing,
  })
  Object.defineProperties(response, heldStates)

  const release = () => {
    const { ended } = held
    if (pending.length === 0 && ended === undefined) response.flushHeaders()
    const [only] = pending
    // In one piece, whose length Node knows before it writes the head.
    if (pending.length === 1 && only?.done === undefined && ended !== undefined && trailers.length === 0) {
      response.end(only?.chunk, only?.encoding ?? 'utf8', ended.done)
      return
    }
    let ready = true
    for (const { chunk, encoding, done } of pending) ready = response.write(chunk, encoding, done)
    for (const one of trailers) response.addTrailers(one)
    if (ended !== undefined) response.end(ended.done)
    else if (destroyed !== undefined) response.destroy(destroyed.cause)
    else if (full && ready) response.emit('drain')
  }
  return { result, release }
}

function nothing(): void {}

/** What of `taken` a response has of its own, which is what middleware before the gate has patched; the result puts it back. */
function ownProperties(response: ServerResponse): () => void {
  const own = taken
    .filter((name) => Object.hasOwn(response, name))
    .map((name) => [name, Object.getOwnPropertyDescriptor(response, name)] as const)
  return () => {
    for (let index = taken.length - 1; index >= 0; index -= 1) Reflect.deleteProperty(response, taken[index] ?? '')
    for (const [name, descriptor] of own) if (descriptor !== undefined) Object.defineProperty(response, name, descriptor)
  }
}

/** Makes an answered response deaf: a handler that comes late neither reaches the wire nor breaks on it. */
function mute(response: ServerResponse): void {
  const deaf =
    (value: unknown) =>
    (...given: unknown[]) => {
      const done = callback(given)
      if (done !== undefined) process.nextTick(done)
      return value
    }
  for (const name of [...writers, ...setters]) Object.assign(response, { [name]: deaf(name === 'write' ? true : response) })
}

/** What a response is by now; its headers and body are made out for who asks for them. */
function resultOf(response: ServerResponse, body?: readonly Write[]): HandlerResult {
  const { statusCode: status } = response
  const usage = response.getHeader(settlementOverridesHeader)
  const result: HandlerResult & Made = {
    status,
    usage: usage === undefined ? undefined : String([usage].flat()[0]),
    headers: [],
    body: undefined,
    [madeOf]: { present: response.getHeaders(), body },
  }
  return Object.defineProperties(result, madeOut)
}

/** What a result is made out of; getters of each one's own would keep all they see until the next full collection of garbage. */
const madeOf = Symbol('madeOf')
type Made = { readonly [madeOf]: { readonly present: OutgoingHttpHeaders; readonly body: readonly Write[] | undefined } }

const madeOut: PropertyDescriptorMap & ThisType<Made> = {
  headers: {
    enumerable: true,
    get() {
      return Object.entries(this[madeOf].present).flatMap(([name, value]) =>
        value === undefined ? [] : [value].flat().map((one) => [name, String(one)] as const),
      )
    },
  },
  body: {
    enumerable: true,
    get() {
      const { body } = this[madeOf]
      return body && Buffer.concat(body.map(bytesOf))
    },
  },
}

/** The headers that a response to Node has by now. */
export function headersOf(response: ServerResponse): LeavingHeaders {
  const get = (name: string): string | null => {
    const value = response.getHeader(name)
    return value === undefined ? null : typeof value === 'string' ? value : [value].flat().join(', ')
  }
  const set = (name: string, value: string) => void response.setHeader(name, value)
  return {
    get,
    set,
    has: (name) => response.hasHeader(name),
    delete: (name) => response.removeHeader(name),
    append(name, value) {
      const present = get(name)
      set(name, present === null ? value : `${present}, ${value}`)
    },
  }
}

// `writeHead(status, message?, headers?)`: headers as an object or as a flat list of names and values.
function applyHead(response: ServerResponse, status: number, rest: readonly unknown[]): void {
  response.statusCode = status
  const [message, given] = typeof rest[0] === 'string' ? rest : [undefined, rest[0] ?? rest[1]]
  if (typeof message === 'string') response.statusMessage = message
  if (Array.isArray(given)) {
    const flat = given.flat()
    for (let index = 0; index + 1 < flat.length; index += 2) response.appendHeader(String(flat[index]), String(flat[index + 1]))
  } else if (typeof given === 'object' && given !== null) {
    // Node's own type for what `writeHead` takes here.
    for (const [name, value] of Object.entries(given as OutgoingHttpHeaders)) if (value !== undefined) response.setHeader(name, value)
  }
}

/** A chunk that nobody changes any more. */
function writeOf(chunk: unknown, encoding: unknown): Write {
  if (chunk instanceof Uint8Array) return { chunk: Buffer.from(chunk), encoding: 'utf8' }
  return { chunk: String(chunk), encoding: typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8' }
}

function lengthOf({ chunk, encoding }: Write): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length
}

function bytesOf({ chunk, encoding }: Write): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
}

function callback(given: readonly unknown[]): (() => void) | undefined {
  const found = given.find((one) => typeof one === 'function')
  return found === undefined ? undefined : () => found()
}

function defer<Value>() {
  let resolve: (value: Value) => void = () => {}
  let reject: (reason: unknown) => void = () => {}
  const promise = new Promise<Value>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
