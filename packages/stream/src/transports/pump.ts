import { controlEventName, controlMember, oneUnit, type Units, writeUnits } from '@flow402x/core/stream'
import type { Lane, LaneEvent, LaneReceipt } from '../lane/lane.ts'
import { heartbeat } from './heartbeat.ts'

/** How items and control messages are written as text (streaming.md §6, M5). */
export type TextFormat = 'sse' | 'ndjson'

/** What a source is told: when to stop, from which unit (10⁻⁹ of one) on it is read, and the lane itself. */
export type SourceFacts = { readonly signal: AbortSignal; readonly from: Units; readonly lane: Lane }

/** Where text goes. Once it is full `drained` answers when more may come, or when nobody reads any more. */
export interface Sink {
  isClosed(): boolean
  isFull(): boolean
  write(text: string): void
  drained(): Promise<void>
}

/** How a source is delivered over a lane. */
export type PumpOptions = {
  readonly format: TextFormat
  /** What an item costs: one unit unless told; nothing but time where the clock is of the wall. */
  readonly units?: ((item: unknown) => Units) | undefined
  /** Calls back each time something should have been written, until its answer is called: every 15 s unless told. */
  readonly beats?: ((beat: () => void) => () => void) | undefined
}

/** The content type of a format. */
export const contentTypes = { sse: 'text/event-stream; charset=utf-8', ndjson: 'application/x-ndjson; charset=utf-8' } as const

// What is written where nothing was for a while, so that no proxy takes the stream for dead.
const pings = { sse: ':\n\n', ndjson: '\n' } as const

/**
 * Delivers a source over a lane: each item is asked for when it can be paid, paid, and then written. A lane that is gated holds nothing and
 * asks its source for nothing. It ends with the source, with the lane or with the reader, and then the source is closed.
 */
export async function pump(
  source: AsyncIterable<unknown>,
  options: PumpOptions & { readonly lane: Lane; readonly sink: Sink },
): Promise<void> {
  const { lane, sink, format, beats = heartbeat } = options
  const { write, quiet } = neverSilent(sink, { ping: pings[format], beats })
  const price = options.units ?? (() => oneUnit)
  const least = options.units === undefined && lane.clock === 'media' ? oneUnit : 0n
  const deaf = lane.hear((event) => {
    // The last two are written below, after the last item.
    if (event.t !== 'receipt' && event.t !== 'end') write(controlText(format, { ...event, sid: lane.sid }))
  })
  const iterator = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      if (sink.isClosed() || !(await lane.ready(least))) break
      const next = await untilOver(iterator, lane.signal)
      if (next === undefined || next.done === true || sink.isClosed()) break
      if (!(await lane.debit(price(next.value)))) break
      write(itemText(format, next.value))
      if (sink.isFull()) await sink.drained()
    }
  } finally {
    deaf()
    quiet()
    if (sink.isClosed()) lane.release()
    else if (lane.state !== 'detached') {
      const receipt = await lane.end()
      for (const t of ['receipt', 'end'] as const) write(controlText(format, ending(receipt, t)))
    }
    // A source that cannot even be closed must not keep its reader.
    await iterator.return?.().then(undefined, () => undefined)
  }
}

/** The same sink, which is written to at each beat that finds it silent; not where its reader has yet to take what was written before. */
function neverSilent(
  sink: Sink,
  { ping, beats }: { readonly ping: string; readonly beats: (beat: () => void) => () => void },
): { readonly write: (text: string) => void; readonly quiet: () => void } {
  let hasWritten = true
  const quiet = beats(() => {
    if (!hasWritten && !sink.isFull() && !sink.isClosed()) sink.write(ping)
    hasWritten = false
  })
  const write = (text: string): void => {
    hasWritten = true
    sink.write(text)
  }
  return { write, quiet }
}

/** The next item, or nothing once the lane is over: a source that never answers holds nobody. */
function untilOver(iterator: AsyncIterator<unknown>, signal: AbortSignal): Promise<IteratorResult<unknown> | undefined> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve(undefined)
      return
    }
    const stop = (): void => resolve(undefined)
    signal.addEventListener('abort', stop, { once: true })
    const settle =
      <Value>(then: (value: Value) => void) =>
      (value: Value): void => {
        signal.removeEventListener('abort', stop)
        then(value)
      }
    iterator.next().then(settle(resolve), settle(reject))
  })
}

function ending({ sid, units, used, reason }: LaneReceipt, t: 'receipt' | 'end'): LaneEvent & { readonly sid: string } {
  return { t, sid, units, consumed: used, charged: used, reason }
}

function controlText(format: TextFormat, event: LaneEvent & { readonly sid: string }): string {
  const { units, ...rest } = event
  const said = { ...rest, ...(units === undefined ? {} : { units: writeUnits(units) }) }
  const text = JSON.stringify(said, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
  return format === 'sse' ? `event: ${controlEventName}\ndata: ${text}\n\n` : `{"${controlMember}":${text}}\n`
}

/** An item as a message: text as it is, everything else as JSON. */
function itemText(format: TextFormat, item: unknown): string {
  if (format === 'ndjson') return `${JSON.stringify(item) ?? 'null'}\n`
  const text = typeof item === 'string' ? item : (JSON.stringify(item) ?? 'null')
  return `${text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}`)
    .join('\n')}\n\n`
}
