import { controlEventName, controlMember, oneUnit, type Units, writeUnits } from '@flow402x/core/stream'
import type { Lane, LaneEvent, LaneReceipt } from '../lane/lane.ts'
import { heartbeat } from './heartbeat.ts'

/** How items and control messages are written as text (streaming.md §6, M5). */
export type TextFormat = 'sse' | 'ndjson'

/** What a source is told: when to stop, from which unit (10⁻⁹ of one) on it is read, and the lane itself. */
export type SourceFacts = { readonly signal: AbortSignal; readonly from: Units; readonly lane: Lane }

/** What a route delivers: made once it is paid for, closed when nobody pays or reads any more. */
export type Source = (facts: SourceFacts) => AsyncIterable<unknown>

/**
 * Where text goes. Once it is full `drained` answers when more may come, or when nobody reads any more. `end` closes it after the last, and
 * `fail` breaks it off.
 */
export interface Sink {
  isClosed(): boolean
  isFull(): boolean
  write(text: string): void
  drained(): Promise<void>
  end(): void
  fail(error: unknown): void
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
 *
 * A stream waits nearly all of its life, and thousands do at once: while it does nothing of it is suspended but its source, and all that
 * is kept is one record and what its source, its lane and the heartbeat call.
 */
export function pump(
  source: Source,
  { lane, sink, format, units, beats = heartbeat }: PumpOptions & { readonly lane: Lane; readonly sink: Sink },
): void {
  const iterator = openSource(source, { lane, sink })
  if (iterator === undefined) return
  const failed = (error: unknown): void => void finish(delivery, { error })
  const given = (next: IteratorResult<unknown>): void => void deliver(delivery, next).catch(failed)
  const quiet = beats(() => beat(delivery))
  const delivery: Delivery = { lane, sink, format, units, iterator, given, failed, quiet, step: 'writing', isOver: false, isSilent: false }
  lane.hear((event) => hear(delivery, event))
  askNext(delivery).catch(failed)
}

type Delivery = Readonly<Pick<PumpOptions, 'format' | 'units'>> & {
  readonly lane: Lane
  readonly sink: Sink
  readonly iterator: AsyncIterator<unknown>
  /** What hears of each item, made once for all of them. */
  readonly given: (next: IteratorResult<unknown>) => void
  readonly failed: (error: unknown) => void
  /** Stops the heartbeat. */
  readonly quiet: () => void
  /** Whether it waits for its source. */
  step: 'asking' | 'writing' | 'finished'
  /** Whether its lane said so. */
  isOver: boolean
  /** Whether nothing was written since the last beat. */
  isSilent: boolean
}

function openSource(source: Source, { lane, sink }: { readonly lane: Lane; readonly sink: Sink }): AsyncIterator<unknown> | undefined {
  try {
    return source({ signal: lane.signal, from: lane.from, lane })[Symbol.asyncIterator]()
  } catch (error) {
    lane.release()
    sink.fail(error)
    return undefined
  }
}

/** Asks the source for an item, once one can be paid. */
async function askNext(delivery: Delivery): Promise<void> {
  const { lane, sink, units, iterator, given, failed } = delivery
  const least = units === undefined && lane.clock === 'media' ? oneUnit : 0n
  lane.left()
  if (sink.isClosed() || !(await lane.ready(least)) || delivery.isOver) return finish(delivery)
  delivery.step = 'asking'
  iterator.next().then(given, failed)
}

/** Writes an item once it is paid, unless it came too late. */
async function deliver(delivery: Delivery, next: IteratorResult<unknown>): Promise<void> {
  if (delivery.step === 'finished') return
  delivery.step = 'writing'
  const { lane, sink, format, units } = delivery
  if (next.done === true || sink.isClosed() || !(await lane.debit(units?.(next.value) ?? oneUnit))) return finish(delivery)
  write(delivery, itemText(format, next.value))
  if (sink.isFull()) await sink.drained()
  return askNext(delivery)
}

/** Ends it, once: with its last words where somebody reads them, and never as if it were whole where it failed. */
async function finish(delivery: Delivery, failure?: { readonly error: unknown }): Promise<void> {
  if (delivery.step === 'finished') return
  delivery.step = 'finished'
  const { lane, sink, iterator, quiet } = delivery
  quiet()
  if (sink.isClosed()) lane.release()
  else if (lane.state !== 'detached') {
    const receipt = await lane.end()
    for (const t of ['receipt', 'end'] as const) sink.write(controlText(delivery, ending(receipt, t)))
  }
  void close(iterator)
  if (failure === undefined) sink.end()
  else sink.fail(failure.error)
}

/** Not waited for: a source that cannot be closed must not keep its reader. */
async function close(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.()
  } catch {
    // Who fails to close has ended as well.
  }
}

function hear(delivery: Delivery, event: LaneEvent): void {
  if (event.t === 'over') {
    delivery.isOver = true
    // A source that never answers holds nobody; what is being paid is answered by the lane.
    if (delivery.step === 'asking') void finish(delivery)
  }
  // Those two are written when it is finished, after the last item.
  else if (event.t !== 'receipt' && event.t !== 'end') write(delivery, controlText(delivery, event))
}

function write(delivery: Delivery, text: string): void {
  if (delivery.step === 'finished') return
  delivery.isSilent = false
  delivery.sink.write(text)
}

/** Writes where nothing was written since the last beat; not where its reader has yet to take what was written before. */
function beat(delivery: Delivery): void {
  const { sink, format, isSilent } = delivery
  if (isSilent && !sink.isFull() && !sink.isClosed()) sink.write(pings[format])
  delivery.isSilent = true
}

function ending({ units, used, reason }: LaneReceipt, t: 'receipt' | 'end'): LaneEvent {
  return { t, units, consumed: used, charged: used, reason }
}

function controlText({ format, lane: { sid } }: Pick<Delivery, 'format' | 'lane'>, event: LaneEvent): string {
  const { t, consumed, charged, units, need, ttl, reason } = event
  const said = { t, sid, consumed, charged, need, ttl, reason, units: units === undefined ? undefined : writeUnits(units) }
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
