import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { settlementOverridesHeader } from '@flow402x/core'
import type { Dress, LeavingHeaders } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import type { HandlerResult, Sent } from '../engine/run.ts'
import { watchDeparture } from './departure.ts'

/** A response whose bytes wait: nothing the handler does to it leaves before `deliver`. */
export type TakenResponse = {
  /** The head and, where it ended within the limit, the body; rejects when the handler destroys the response. */
  readonly result: Promise<HandlerResult>
  /** Says that the handler has failed: there is no result where there was none before. */
  fail(cause: unknown): void
  /** Lets what was written leave, and everything after it as it comes. */
  deliver(dress: Dress, sent?: Sent): void
  /** Drops what was written and lets `write` answer, at once and whole; from then on the handler's writes go nowhere. */
  replace(write: () => void): void
}

/** Whether somebody has given a response another prototype, as Express does: V8 then writes its whole layout anew for each property added. */
function hasLayoutOfItsOwn(response: ServerResponse): boolean {
  return !Object.hasOwn(Object.getPrototypeOf(response), 'writeHead')
}

/** Makes V8 keep an object as a table, to which properties are added for nothing: it does so with those that have lost one. */
function makeTable(response: ServerResponse): void {
  Object.assign(response, { [passing]: true, [remaining]: true })
  Reflect.deleteProperty(response, passing)
}

// V8 takes back what was added last, so that something must have come after it.
const [passing, remaining] = [Symbol('passing'), Symbol('remaining')]

type Write = { readonly chunk: string | Buffer; readonly encoding: BufferEncoding; done: (() => void) | undefined }

const setters = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const

/**
 * Takes a response from its handler. The result is there when the handler has ended it, or has written more than `limit`
 * bytes; with a limit of zero, as soon as its head is known.
 */
export function takeResponse(response: ServerResponse, limit: number): TakenResponse {
  const before = response.getHeaders()
  const { promise: result, resolve, reject } = defer<HandlerResult>()
  result.catch(() => {})
  const level = levelOf(response)
  const held: Held = {
    level,
    limit,
    phase: 'held',
    resolve,
    reject,
    pending: [],
    trailers: [],
    isHeaded: false,
    length: 0,
    isFull: false,
    ended: undefined,
    destroyed: undefined,
    patched: patchesOf(response),
  }
  if (hasLayoutOfItsOwn(response)) makeTable(response)
  const taken: Taken = Object.assign<ServerResponse, Record<symbol, Held>, Level['methods']>(
    response,
    { [level.holding]: held },
    level.methods,
  )
  Object.defineProperties(response, level.states)
  return {
    result,
    fail: reject,
    deliver(dress, sent) {
      held.phase = 'open'
      dress(headersOf(response))
      watchDeparture(response, sent)
      through(taken, () => release(taken, held))
    },
    replace(write) {
      held.phase = 'open'
      for (const name of response.getHeaderNames()) response.removeHeader(name)
      for (const [name, value] of Object.entries(before)) if (value !== undefined) response.setHeader(name, value)
      response.statusMessage = ''
      through(taken, write)
      held.phase = 'deaf'
      for (const name of setters) Object.assign(response, { [name]: () => response })
    },
  }
}

/**
 * What is held of a response, on the response itself: methods of its own for each would cost more than all that they do. They stay when
 * it may leave, for whoever has put something upon them meanwhile calls them, and let through to what was there before.
 */
type Held = {
  readonly level: Level
  readonly limit: number
  phase: 'held' | 'open' | 'deaf'
  readonly resolve: (result: HandlerResult) => void
  readonly reject: (cause: unknown) => void
  readonly pending: Write[]
  readonly trailers: Parameters<ServerResponse['addTrailers']>[0][]
  isHeaded: boolean
  length: number
  isFull: boolean
  ended: { readonly done: (() => void) | undefined } | undefined
  destroyed: { readonly cause: Error | undefined } | undefined
  /** What middleware before the gate has put upon Node's own. */
  readonly patched: PropertyDescriptorMap | undefined
}

type WhileHeld = (response: ServerResponse, held: Held, given: readonly unknown[]) => unknown

const whileHeld = {
  writeHead(response, held, [status, ...rest]) {
    applyHead(response, Number(status), rest)
    head(response, held)
    return response
  },
  flushHeaders: head,
  write(response, held, [chunk, ...rest]) {
    if (!held.isHeaded) head(response, held)
    return keep(response, held, writeOf(chunk, rest[0], callback(rest)))
  },
  end(response, held, given) {
    if (held.ended !== undefined) return response
    const [chunk, encoding] = given.filter((one) => typeof one !== 'function')
    if (!held.isHeaded) head(response, held)
    if (chunk !== undefined && chunk !== null) keep(response, held, writeOf(chunk, encoding))
    held.ended = { done: callback(given) }
    held.resolve(resultOf(response, held.isFull && held.limit > 0 ? undefined : held.pending))
    return response
  },
  destroy(response, held, [cause]) {
    held.destroyed = { cause: cause instanceof Error ? cause : undefined }
    held.reject(serverErrors('payment/handler-failed', { cause }))
    return response
  },
  // Node's own type for what `addTrailers` takes.
  addTrailers: (_, held, [given]) => void held.trailers.push(given as OutgoingHttpHeaders),
  // Goods could leave in a 1xx as well (M7).
  writeContinue: nothing,
  writeProcessing: nothing,
  writeEarlyHints: nothing,
} satisfies Record<string, WhileHeld>

type Method = keyof typeof whileHeld
type State = 'headersSent' | 'writableEnded'
type HeldMethod = (this: Taken, ...given: unknown[]) => unknown

// What `Object.keys` gives of a literal that nobody adds to.
const methods = Object.keys(whileHeld) as Method[]

/** What stands on a response that is held, the same for all. Who holds one that is held already is a level above. */
type Level = {
  readonly holding: symbol
  readonly methods: Readonly<Record<Method, HeldMethod>>
  readonly states: PropertyDescriptorMap
}

type Taken = ServerResponse & { readonly [holding: symbol]: Held | undefined }

const levels: Level[] = []

function levelOf(response: ServerResponse): Level {
  return levels.find(({ holding }) => !Object.hasOwn(response, holding)) ?? newLevel()
}

function newLevel(): Level {
  const holding = Symbol(`holding ${levels.length}`)
  const methodOf = (name: Method): HeldMethod => {
    const work: WhileHeld = whileHeld[name]
    return function (...given) {
      const held = this[holding]
      if (held?.phase === 'held') return work(this, held, given)
      if (held?.phase !== 'deaf') return Reflect.apply(beneath(this, held, name), this, given)
      // Whoever comes late neither reaches the wire nor breaks on it.
      const done = callback(given)
      if (done !== undefined) process.nextTick(done)
      return name === 'write' ? true : this
    }
  }
  const stateOf = (name: State, isSo: (held: Held) => boolean): PropertyDescriptor & ThisType<Taken> => ({
    configurable: true,
    get() {
      const held = this[holding]
      return held?.phase === 'held' ? isSo(held) : beneath(this, held, name)
    },
  })
  const level: Level = {
    holding,
    // Made of all of them.
    methods: Object.fromEntries(methods.map((name) => [name, methodOf(name)])) as Record<Method, HeldMethod>,
    states: {
      headersSent: stateOf('headersSent', ({ isHeaded }) => isHeaded),
      writableEnded: stateOf('writableEnded', ({ ended }) => ended !== undefined),
    },
  }
  levels.push(level)
  return level
}

/** What stood there before the response was taken: what middleware or a gate had put there, else Node's own. */
function beneath(response: ServerResponse, held: Held | undefined, name: Method | State) {
  const patch = held?.patched?.[name]
  if (patch === undefined) return Reflect.get(Object.getPrototypeOf(response), name, response)
  return patch.get === undefined ? patch.value : Reflect.apply(patch.get, response, [])
}

/** What a response has of its own of what is taken. */
function patchesOf(response: ServerResponse): PropertyDescriptorMap | undefined {
  let patched: PropertyDescriptorMap | undefined
  for (const name of [...methods, 'headersSent', 'writableEnded']) {
    const own = Object.getOwnPropertyDescriptor(response, name)
    if (own !== undefined) patched = { ...patched, [name]: own }
  }
  return patched
}

function nothing(): void {}

function head(response: ServerResponse, held: Held): void {
  held.isHeaded = true
  if (held.limit === 0) held.resolve(resultOf(response))
}

function keep(response: ServerResponse, held: Held, write: Write): boolean {
  held.length += lengthOf(write)
  held.isFull = held.length > held.limit
  if (!held.isFull && write.done !== undefined) {
    process.nextTick(write.done)
    write.done = undefined
  }
  held.pending.push(write)
  if (held.isFull && held.limit > 0) held.resolve(resultOf(response))
  // Who is told to wait waits for `drain`: within the limit nobody may, for the response is wanted whole.
  return !held.isFull
}

/** Does what reaches the wire. Node's own methods call each other as they stand on the response, where gates above may be deaf by now. */
function through(response: Taken, work: () => void): void {
  const above = levels.length === 1 ? [] : levels.flatMap(({ holding }) => response[holding] ?? [])
  const deaf = above.filter(({ phase }) => phase === 'deaf')
  for (const held of deaf) held.phase = 'open'
  work()
  for (const held of deaf) held.phase = 'deaf'
}

/** Writes for real what was held, past whatever was put upon the methods since: it has been through that. */
function release(response: ServerResponse, held: Held): void {
  const { ended, pending, trailers, destroyed, isFull } = held
  const call = (name: Method, ...given: unknown[]) => Reflect.apply(held.level.methods[name], response, given)
  if (pending.length === 0 && ended === undefined) call('flushHeaders')
  const [only] = pending
  // In one piece, whose length Node knows before it writes the head.
  if (pending.length === 1 && only?.done === undefined && ended !== undefined && trailers.length === 0) {
    call('end', only?.chunk, only?.encoding ?? 'utf8', ended.done)
    return
  }
  let isReady: unknown = true
  for (const { chunk, encoding, done } of pending) isReady = call('write', chunk, encoding, done)
  pending.length = 0
  for (const one of trailers) call('addTrailers', one)
  if (ended !== undefined) call('end', ended.done)
  else if (destroyed !== undefined) response.destroy(destroyed.cause)
  else if (isFull && isReady === true) response.emit('drain')
}

/** What a response is by now. */
function resultOf(response: ServerResponse, body?: readonly Write[]): HandlerResult {
  const usage = response.getHeader(settlementOverridesHeader)
  return {
    status: response.statusCode,
    usage: usage === undefined ? undefined : String([usage].flat()[0]),
    whole: body === undefined ? undefined : () => ({ headers: entriesOf(response.getHeaders()), body: Buffer.concat(body.map(bytesOf)) }),
  }
}

function entriesOf(headers: OutgoingHttpHeaders): [name: string, value: string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, String(one)]),
  )
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
function writeOf(chunk: unknown, encoding: unknown, done?: () => void): Write {
  if (chunk instanceof Uint8Array) return { chunk: Buffer.from(chunk), encoding: 'utf8', done }
  return { chunk: String(chunk), encoding: typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8', done }
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
