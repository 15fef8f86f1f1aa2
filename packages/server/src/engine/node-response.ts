import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Dress } from './answers.ts'
import { serverErrors } from './errors.ts'
import type { HandlerResult } from './run.ts'

/** A response whose bytes wait: nothing the handler does to it leaves before `deliver`. */
export type TakenResponse = {
  /** The head and, where it ended within the limit, the body; rejects when the handler destroys the response. */
  readonly result: Promise<HandlerResult>
  /** Lets what was written leave, and everything after it as it comes. */
  deliver(dress: Dress): void
  /** Drops what was written; from here on the handler's writes go nowhere. Gives the response for another answer. */
  discard(): ServerResponse
}

type Write = { readonly bytes: Buffer; readonly done: (() => void) | undefined }

const writers = ['writeHead', 'flushHeaders', 'write', 'end', 'destroy', 'writeContinue', 'writeProcessing', 'writeEarlyHints'] as const
const setters = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'addTrailers'] as const

/**
 * Takes a response from its handler. The result is there when the handler has ended it, or has written more than `limit`
 * bytes; with a limit of zero, as soon as its head is known.
 */
export function takeResponse(response: ServerResponse, limit: number): TakenResponse {
  const before = response.getHeaders()
  const { promise: result, resolve, reject } = defer<HandlerResult>()
  const pending: Write[] = []
  let length = 0
  let ended: (() => void) | undefined | false = false
  let headed = false

  const head = () => {
    headed = true
    if (limit === 0) resolve(resultOf(response))
  }
  const take = (chunk: unknown, ...rest: unknown[]): void => {
    const [encoding, done] = typeof rest[0] === 'function' ? [undefined, rest[0]] : rest
    const bytes = toBytes(chunk, encoding)
    pending.push({ bytes, done: callback(done) })
    length += bytes.length
    if (length > limit && limit > 0) resolve(resultOf(response))
  }
  const held = {
    writeHead: (status: number, ...rest: unknown[]) => {
      applyHead(response, status, rest)
      head()
      return response
    },
    flushHeaders: head,
    write: (chunk: unknown, ...rest: unknown[]) => {
      if (!headed) head()
      take(chunk, ...rest)
      return false
    },
    end: (...given: unknown[]) => {
      if (ended !== false) return response
      const done = callback(given.find((one) => typeof one === 'function'))
      const [chunk, encoding] = given.filter((one) => typeof one !== 'function')
      if (!headed) head()
      if (chunk !== undefined && chunk !== null) take(chunk, encoding)
      ended = done
      resolve({ ...resultOf(response), body: Buffer.concat(pending.map(({ bytes }) => bytes)) })
      return response
    },
    destroy: (cause?: unknown) => {
      reject(serverErrors('payment/handler-failed', { cause }))
      return response
    },
    writeContinue: () => {},
    writeProcessing: () => {},
    writeEarlyHints: () => {},
  }
  Object.assign(response, held)
  Object.defineProperty(response, 'headersSent', { configurable: true, get: () => headed })
  Object.defineProperty(response, 'writableEnded', { configurable: true, get: () => ended !== false })
  result.catch(() => {})

  const giveBack = () => {
    for (const name of [...writers, 'headersSent', 'writableEnded']) Reflect.deleteProperty(response, name)
  }
  return {
    result,
    deliver(dress) {
      giveBack()
      dressNode(response, dress)
      for (const { bytes, done } of pending) response.write(bytes, done)
      if (ended !== false) response.end(ended)
      else if (pending.length === 0) response.flushHeaders()
      else response.emit('drain')
    },
    discard() {
      giveBack()
      for (const name of response.getHeaderNames()) response.removeHeader(name)
      for (const [name, value] of Object.entries(before)) if (value !== undefined) response.setHeader(name, value)
      return muted(response)
    },
  }
}

/** The response for the engine's own answer; the handler, which still holds the original, can no longer reach the wire. */
function muted(response: ServerResponse): ServerResponse {
  const real = new Map([...writers, ...setters].map((name) => [name as string, Reflect.get(response, name).bind(response)]))
  const own = new Proxy(response, {
    get: (target, name) => (typeof name === 'string' ? real.get(name) : undefined) ?? Reflect.get(target, name),
    set: (target, name, value) => Reflect.set(target, name, value),
  })
  for (const name of writers) Object.assign(response, { [name]: name === 'write' ? () => true : () => response })
  for (const name of setters) Object.assign(response, { [name]: () => response })
  return own
}

function resultOf(response: ServerResponse): HandlerResult {
  const headers = Object.entries(response.getHeaders()).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => [name, String(one)] as const),
  )
  return { status: response.statusCode, headers }
}

/** Lets the engine dress the headers it touches, and only those: the others keep Node's own form. */
function dressNode(response: ServerResponse, dress: Dress): void {
  const names = ['cache-control', 'vary', 'access-control-expose-headers', 'access-control-allow-origin']
  const headers = new Headers()
  for (const name of names) {
    const value = response.getHeader(name)
    if (value !== undefined) headers.set(name, [value].flat().join(', '))
  }
  dress(headers)
  for (const [name, value] of headers) response.setHeader(name, value)
}

// `writeHead(status, message?, headers?)`: headers as an object or as a flat list of names and values.
function applyHead(response: ServerResponse, status: number, rest: readonly unknown[]): void {
  response.statusCode = status
  const [message, given] = typeof rest[0] === 'string' ? rest : [undefined, rest[0]]
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

function callback(value: unknown): (() => void) | undefined {
  return typeof value === 'function' ? () => value() : undefined
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
