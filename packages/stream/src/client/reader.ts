import { isX402Error } from '@flow402x/core'
import { type ControlEvent, type OpenedStream, type StreamTerms, type Units, unitsFor, writeUnits } from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import { byteItems, type Item, ndjsonItems, sseItems } from './lines.ts'
import { countsOf, isRest, moment, partIn, restHeaders, sizeIn } from './meter.ts'
import { mostOf, type PaidStream, type PayStreamOptions, type Plan, type StreamChunk, type StreamReceipt } from './pay-stream.ts'
import { slidingTill, type Till, windowTill } from './till.ts'
import { believed, closeLane, sidIn, wishesOf } from './words.ts'

type Opened = OpenedStream & { readonly plan: Plan | undefined }
type Reading = PayStreamOptions & { readonly over: AbortController }

/** Reads an open stream and pays for it meanwhile. */
export function createReader(opened: Opened, options: Reading): PaidStream {
  const { wallet, over, reopens = 5, onEvent = () => {}, sleep = wait, now = () => performance.now(), init = {} } = options
  const { response: answer, url, terms, plan } = opened
  const [sid, signed] = [sidIn(answer), () => till?.signed() ?? 0n]
  const till = plan && sid !== undefined ? tillOf(opened, plan, { ...options, sleep, now, sid }) : undefined
  let [chunks, bytes, reason, isPaused, isOver, hasBegun] = [0, 0n, '', false, false, false]
  let [said, closing, isShut]: [bigint?, Promise<StreamReceipt>?, boolean?] = []
  const { promise: receipt, settle } = promised<StreamReceipt>()

  const ear = terms && sid !== undefined ? { wallet, url, tickUrl: new URL(terms.tickUrl, url).href, sid } : undefined
  const wish = wishesOf(ear)
  const { meter, received, due, counted, most } = countsOf({ ...options, terms, plan, now, answer, signed })

  async function finish(why: string): Promise<StreamReceipt> {
    isOver = true
    const [units, used] = [received(), counted()]
    try {
      if (till !== undefined && ear !== undefined && said === undefined) said = await closeLane(ear, till, { counted: () => used, most })
      else await till?.close(said ?? used, { most: most() })
    } finally {
      over.abort(new DOMException('The stream is closed.', 'AbortError'))
      settle({ units: writeUnits(units), consumed: said ?? used, signed: signed(), chunks, bytes, reason: reason || why })
    }
    return await receipt
  }

  function close(why: string): Promise<StreamReceipt> {
    closing ??= finish(why)
    return closing
  }

  /** A word of the server's; says whether it was the last. */
  function hear(event: ControlEvent): boolean {
    onEvent(event)
    const { t, consumed } = event
    // What nobody here can count grows only while something comes.
    if (consumed !== undefined && meter?.hasMoved()) meter.said(consumed)
    if (t === 'gated' || t === 'open') meter?.flows(t === 'open')
    if (t === 'open') meter?.stood(consumed)
    if (t === 'receipt' || t === 'end') {
      reason = event.reason ?? t
      said = believed(consumed, { till, url }) ?? said
      return true
    }
    if (t === 'gated' || t === 'open') isShut = t === 'gated'
    // A gate that is shut before this side counts so much is behind by what no two clocks agree on: then any part of a window helps.
    // Nor is it waited for: what is said meanwhile is of its own time.
    if (t !== 'open') void till?.advance(due(), isShut ? plan?.window : undefined)
    return t === 'gated' && !isPaused && isSpent()
  }

  /** Whether nothing more comes because nothing more is paid: by agreement, or by trouble, which is thrown. */
  function isSpent(): boolean {
    const trouble = till?.trouble()
    if (trouble !== undefined) throw trouble
    return till?.isDone() === true
  }

  /** For how long nothing may come where nothing more will be signed, in milliseconds: what is left of its time, and a moment. */
  function patience(): number | undefined {
    // Who paused it may allow more before it goes on.
    if (isPaused || till === undefined || terms === undefined || !(till.isDone() || till.trouble() !== undefined)) return undefined
    const left = terms.unit === 'second' ? Number(unitsFor(terms.rate, till.signed()) - due()) / 1e6 : 0
    return left + moment
  }

  // What came early is paid when its time has come, whether more comes by then or not.
  const idle = (): unknown => meter?.isEarly() && till?.advance(due())

  async function* read(): AsyncGenerator<StreamChunk> {
    let response = answer
    for (let [tries, cause]: [number, unknown?] = [0]; ; ) {
      try {
        for await (const item of whileFlowing(itemsOf(response), { now, sleep, patience, idle })) {
          if ('control' in item) {
            if (hear(item.control)) return
            continue
          }
          tries = 0
          if ('alive' in item && item.alive === 'ping') continue
          if (!isPaused) meter?.flows(true)
          meter?.received('chunk' in item ? item.bytes : 0)
          void till?.advance(due())
          if (!('chunk' in item)) continue
          chunks += 1
          bytes += BigInt(item.bytes)
          yield item.chunk
          if (plan?.units !== undefined && received() >= plan.units) return
        }
        // Who shuts the gate and goes has not said that this was all.
        if (isSpent() || isShut !== true) return
      } catch (error) {
        if (isX402Error(error) || isOver || over.signal.aborted || options.signal?.aborted) throw error
        // It would not be paid there either.
        isSpent()
        cause = error
      }
      tries += 1
      if (till === undefined || tries > reopens) throw readerErrors('stream/broken', { url, tries, cause })
      await sleep(50 * 2 ** tries)
      response = (await reopen(till)) ?? response
    }
  }

  /** The same lane on another connection, with the newest voucher (M7); nothing where the server cannot be reached. */
  async function reopen(paying: Till): Promise<Response | undefined> {
    const [headers, from, file] = [new Headers(init.headers), writeUnits(received()), restIn(answer, { terms, bytes })]
    const asked = { 'Payment-Resume': `${sid}; from=${from}`, ...(file && restHeaders(answer, file.at)), ...paying.ticket() }
    for (const [name, value] of Object.entries(asked)) headers.set(name, value)
    const response = await wallet.send(url, { ...init, headers, signal: over.signal }).catch(() => undefined)
    const status = response?.status
    if (status === 404 || status === 410) throw readerErrors('stream/lane-over', { url, status })
    if (response?.ok !== true) return undefined
    if (file) await assertRest(response, { ...file, url })
    onEvent({ t: 'resumed', from })
    return response
  }

  async function* iterate(): AsyncGenerator<StreamChunk> {
    if (hasBegun) throw readerErrors('stream/bad-option', { option: 'stream', why: 'it is read once' })
    hasBegun = true
    try {
      yield* read()
    } catch (error) {
      // Who closed it wanted no error.
      if (!isOver || isX402Error(error)) throw error
    } finally {
      await close('read')
    }
  }

  return {
    response: answer,
    grade: opened.lane === undefined ? (terms === undefined ? 'free' : 'A') : 'B',
    terms,
    receipt,
    standing: () => ({ bytes, consumed: counted(), signed: signed() }),
    async pause() {
      isPaused = true
      meter?.flows(false)
      await wish('pause')
    },
    async resume() {
      if (!(await wish('resume'))) return
      isPaused = false
      meter?.flows(true)
    },
    allow: (budget) => allowMore(mostOf(opened, { budget }, plan?.units), { till: isOver ? undefined : till, due }),
    close: () => close('closed'),
    [Symbol.asyncIterator]: iterate,
  }
}

type Allowing = { readonly till: Till | undefined; readonly due: () => Units }

function allowMore(most: bigint | undefined, { till, due }: Allowing): void {
  if (till === undefined || most === undefined)
    throw readerErrors('stream/bad-option', { option: 'budget', why: 'the stream is over, or asks no money' })
  till.allow(most)
  // A gate that is shut sends nothing that would be paid for.
  void till.advance(due())
}

function tillOf(
  { lane, url }: Opened,
  { terms, window, most }: Plan,
  { wallet, sid, now, sleep }: Reading & { readonly sid: string; now: () => number; sleep: (ms: number) => Promise<void> },
): Till {
  const given = { wallet, url, sid, tickUrl: new URL(terms.tickUrl, url).href, terms, window, most, now, sleep }
  return lane === undefined ? windowTill(given) : slidingTill(lane, given)
}

function itemsOf({ headers, body }: Response): AsyncIterable<Item<StreamChunk>> {
  const stream = body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() })
  const items = { events: sseItems, lines: ndjsonItems, bytes: byteItems }[formIn(headers)]
  return items(stream)
}

function formIn(headers: Headers): 'events' | 'lines' | 'bytes' {
  const type = headers.get('Content-Type') ?? ''
  if (/^text\/event-stream\b/i.test(type)) return 'events'
  return /^application\/(x-)?(ndjson|jsonl|json-lines)\b/i.test(type) ? 'lines' : 'bytes'
}

type Rest = { readonly at: bigint; readonly size: bigint | undefined }

/**
 * Where a file of which `bytes` came goes on: from its beginning it would be paid once more, and what came would be no file. Nothing for
 * events, lines and what happens now, which have no such beginning.
 */
function restIn(answer: Response, { terms, bytes }: { terms: StreamTerms | undefined; bytes: bigint }): Rest | undefined {
  const size = sizeIn(answer)
  if (formIn(answer.headers) !== 'bytes' || (terms?.clock !== 'media' && size === undefined)) return undefined
  return { at: (partIn(answer)?.from ?? 0n) + bytes, size }
}

async function assertRest(response: Response, { url, ...rest }: Rest & { readonly url: string }): Promise<void> {
  if (isRest(response, rest)) return
  await response.body?.cancel()
  throw readerErrors('stream/not-open', { url, status: response.status, why: 'it does not go on where it broke off' })
}

type Watching = {
  readonly now: () => number
  readonly sleep: (ms: number) => Promise<void>
  readonly patience: () => number | undefined
  /** Nothing came for a moment. */
  readonly idle: () => unknown
}

/** What comes, until nothing more will: a body of plain bytes cannot say that its gate is shut for good. */
async function* whileFlowing<Value>(items: AsyncIterable<Value>, { now, sleep, patience, idle }: Watching): AsyncGenerator<Value> {
  const iterator = items[Symbol.asyncIterator]()
  let nap: Promise<undefined> | undefined
  try {
    for (let heard = now(), next = iterator.next(); ; ) {
      nap ??= sleep(moment).then(() => {
        nap = undefined
        return undefined
      })
      const result = await Promise.race([next, nap])
      const most = patience()
      if (result === undefined && most !== undefined && now() - heard > most) return
      if (result === undefined) {
        idle()
        continue
      }
      if (result.done === true) return
      yield result.value
      heard = now()
      next = iterator.next()
    }
  } finally {
    // What still waits for bytes ends with the connection.
    iterator.return?.()?.catch(() => {})
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** A promise, and what settles it. */
function promised<Value>(): { readonly promise: Promise<Value>; readonly settle: (value: Value) => void } {
  let settle: (value: Value) => void = () => {}
  const promise = new Promise<Value>((resolve) => {
    settle = resolve
  })
  return { promise, settle }
}
