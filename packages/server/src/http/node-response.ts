import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { settlementOverridesHeader } from '@flow402x/core'
import type { Dress } from '../engine/answers.ts'
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

type Write = { readonly bytes: Buffer; readonly done: (() => void) | undefined }

const informers = ['writeContinue', 'writeProcessing', 'writeEarlyHints'] as const
const writers = ['writeHead', 'flushHeaders', 'write', 'end', 'destroy', 'addTrailers', ...informers] as const
const setters = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const
const states = ['headersSent', 'writableEnded'] as const

/**
 * Takes a response from its handler. The result is there when the handler has ended it, or has written more than `limit`
 * bytes; with a limit of zero, as soon as its head is known.
 */
export function takeResponse(response: ServerResponse, limit: number): TakenResponse {
  const before = response.getHeaders()
  const restore = ownProperties(response, [...writers, ...states])
  const held = holdWrites(response, limit)
  return {
    result: held.result,
    deliver(dress, sent) {
      restore()
      dressNode(response, dress)
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

/** Puts methods of its own on the response that keep what is written; `release` writes it for real. */
function holdWrites(response: ServerResponse, limit: number): { result: Promise<HandlerResult>; release: () => void } {
  const { promise: result, resolve, reject } = defer<HandlerResult>()
  result.catch(() => {})
  const pending: Write[] = []
  const trailers: Parameters<ServerResponse['addTrailers']>[0][] = []
  let [length, headed, full] = [0, false, false]
  let ended: { readonly done: (() => void) | undefined } | undefined
  let destroyed: { readonly cause: Error | undefined } | undefined

  const head = () => {
    headed = true
    if (limit === 0) resolve(resultOf(response))
  }
  const take = (chunk: unknown, encoding: unknown, done?: () => void): boolean => {
    const bytes = toBytes(chunk, encoding)
    length += bytes.length
    full = length > limit
    pending.push({ bytes, done: full ? done : undefined })
    if (!full && done !== undefined) process.nextTick(done)
    if (full && limit > 0) resolve(resultOf(response))
    // Who is told to wait waits for `drain`: within the limit nobody may, for the response is wanted whole.
    return !full
  }
  Object.assign(response, {
    writeHead: (status: number, ...rest: unknown[]) => {
      applyHead(response, status, rest)
      head()
      return response
    },
    flushHeaders: head,
    write: (chunk: unknown, ...rest: unknown[]) => {
      if (!headed) head()
      return take(chunk, rest[0], callback(rest))
    },
    end: (...given: unknown[]) => {
      if (ended !== undefined) return response
      const [chunk, encoding] = given.filter((one) => typeof one !== 'function')
      if (!headed) head()
      if (chunk !== undefined && chunk !== null) take(chunk, encoding)
      ended = { done: callback(given) }
      resolve({ ...resultOf(response), ...(full && limit > 0 ? {} : { body: Buffer.concat(pending.map(({ bytes }) => bytes)) }) })
      return response
    },
    destroy: (cause?: unknown) => {
      destroyed = { cause: cause instanceof Error ? cause : undefined }
      reject(serverErrors('payment/handler-failed', { cause }))
      return response
    },
    addTrailers: (given: (typeof trailers)[number]) => trailers.push(given),
    // Goods could leave in a 1xx as well (M7).
    ...Object.fromEntries(informers.map((name) => [name, () => {}])),
  })
  Object.defineProperty(response, 'headersSent', { configurable: true, get: () => headed })
  Object.defineProperty(response, 'writableEnded', { configurable: true, get: () => ended !== undefined })

  const release = () => {
    if (pending.length === 0 && ended === undefined) response.flushHeaders()
    let ready = true
    for (const { bytes, done } of pending) ready = response.write(bytes, done)
    for (const one of trailers) response.addTrailers(one)
    if (ended !== undefined) response.end(ended.done)
    else if (destroyed !== undefined) response.destroy(destroyed.cause)
    else if (full && ready) response.emit('drain')
  }
  return { result, release }
}

/** What a response has of its own under these names, which is what middleware before the gate has patched; the result puts it back. */
function ownProperties(response: ServerResponse, names: readonly string[]): () => void {
  const own = names.map((name) => [name, Object.getOwnPropertyDescriptor(response, name)] as const)
  return () => {
    for (const [name, descriptor] of own) {
      if (descriptor === undefined) Reflect.deleteProperty(response, name)
      else Object.defineProperty(response, name, descriptor)
    }
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

function resultOf(response: ServerResponse): HandlerResult {
  const headers = Object.entries(response.getHeaders()).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => [name, String(one)] as const),
  )
  return { status: response.statusCode, headers }
}

/** Lets the engine dress the headers it touches, and only those: the others keep Node's own form. */
function dressNode(response: ServerResponse, dress: Dress): void {
  const names = ['cache-control', 'vary', 'access-control-expose-headers', 'access-control-allow-origin', settlementOverridesHeader]
  const headers = new Headers()
  for (const name of names) {
    const value = response.getHeader(name)
    if (value !== undefined) headers.set(name, [value].flat().join(', '))
  }
  dress(headers)
  for (const name of names) if (!headers.has(name)) response.removeHeader(name)
  for (const [name, value] of headers) response.setHeader(name, value)
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

function toBytes(chunk: unknown, encoding: unknown): Buffer {
  if (chunk instanceof Uint8Array) return Buffer.from(chunk)
  return Buffer.from(String(chunk), typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8')
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
