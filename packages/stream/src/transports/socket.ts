import {
  bytesPerUnit,
  closeCodes,
  decodeClientFrame,
  encodeServerFrame,
  type FrameError,
  type GateReason,
  oneUnit,
  type ServerFrame,
  type TickFrame,
  type Units,
} from '@flow402x/core/stream'
import type { Lane, LaneEvent } from '../lane/lane.ts'

/** A socket as the package `ws` has them, as much of it as is used. */
export interface RawSocket {
  readonly bufferedAmount: number
  binaryType: string
  send(data: string | Uint8Array, done: (error?: Error | null) => void): void
  close(code: number, reason?: string): void
  terminate(): void
  ping(): void
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown
  on(event: 'close', listener: (code: number) => void): unknown
  on(event: 'pong' | 'error', listener: () => void): unknown
}

/** A socket whose messages are paid for: what the application sees of it. */
export interface PaidSocket {
  /** Aborts when nothing will be sent any more: the payer is gone, or his lane is over. */
  readonly signal: AbortSignal
  /** What the payer sends. */
  readonly messages: AsyncIterable<string | Uint8Array>
  /** Sends a message once it is paid and the payer's side has taken those before. `false`: the lane is over, and it stayed here. */
  send(message: string | Uint8Array): Promise<boolean>
}

/** What came of a tick. */
export type Ticked = { readonly accepted: bigint; readonly consumed: bigint; readonly ttlMs?: number | undefined } | FrameError

/** How a socket is run: over which lane, and who takes its ticks. */
export type SocketRun = {
  /** The lane, or where the payer names it by his first tick, how it is found by that. */
  readonly lane: Lane | ((first: TickFrame) => Promise<Lane | undefined>)
  readonly tick: (tick: TickFrame) => Promise<Ticked>
  readonly serve: (socket: PaidSocket) => unknown
  /** What a message costs; its bytes where the unit counts bytes, nothing but time where the clock is of the wall, else one unit. */
  readonly units?: ((message: string | Uint8Array) => Units) | undefined
  /** Calls back again and again until its answer is called, so that one timer serves all sockets. */
  readonly beats: (beat: () => void) => () => void
}

// Of these no more may wait (streaming.md §6).
const mostControls = 32
/** So many bytes of the application's own messages may wait to be read, and so none of them is longer: what a careless reader may cost. */
export const mostUnread = 1_048_576
// A peer that takes this much later than it was sent is waited for.
const highWater = 65_536
// So many beats without a sign of life.
const mostSilent = 2

/** Runs one socket that is one lane (streaming.md §6, §11 d), until either side ends it. */
export function runSocket(raw: RawSocket, { lane: given, tick, serve, units, beats }: SocketRun): void {
  raw.binaryType = 'nodebuffer'
  const inbox = createInbox()
  const over = new AbortController()
  let lane = typeof given === 'function' ? undefined : given
  let silent = 0
  const controls: TickFrame[] = []
  let isObeying = false

  const tell = (frame: ServerFrame): void => raw.send(encodeServerFrame(frame), ignore)
  const leave = (code: number, reason: string): void => {
    raw.close(code, reason)
    over.abort()
  }
  const begin = async (paying: Lane): Promise<void> => {
    lane = paying
    const deaf = paying.hear((event) => {
      for (const frame of frameOf(event)) tell(frame)
    })
    const lost = (): void => {
      over.abort()
      // A payer who is left without a word would wait for good.
      if (paying.state !== 'ended') leave(closeCodes.unpaid, 'nobody pays')
    }
    paying.signal.addEventListener('abort', lost, { once: true })
    over.signal.addEventListener('abort', deaf, { once: true })
    const cost = units ?? costIn(paying)
    try {
      if (!over.signal.aborted)
        await serve({ signal: over.signal, messages: inbox, send: (message) => sendPaid(message, cost(message), paying) })
      if (over.signal.aborted) return
      const { used } = await paying.end('end of content')
      tell({ type: 'receipt', consumed: used, charged: used })
      leave(1000, 'end of content')
    } catch {
      // What fails in the application ends its socket; what it did not deliver is its payer's again.
      await paying.end('failed')
      leave(1011, 'failed')
    }
  }
  const sendPaid = async (message: string | Uint8Array, price: Units, paying: Lane): Promise<boolean> => {
    if (over.signal.aborted || !(await paying.debit(price)) || over.signal.aborted) return false
    const wire = typeof message === 'string' ? message : encodeServerFrame({ type: 'data', bytes: message })
    const left = new Promise<boolean>((resolve) =>
      raw.send(wire, (error) => {
        // What cannot be sent has no reader; what becomes of his lane is said where the socket closes.
        if (error != null) over.abort()
        if (raw.bufferedAmount === 0) paying.left()
        resolve(error == null)
      }),
    )
    return raw.bufferedAmount > highWater ? await left : true
  }
  const control = async (frame: TickFrame): Promise<void> => {
    if (over.signal.aborted) return
    const answer = await ticked(frame)
    if (typeof answer === 'string') return tell({ type: 'error', error: answer })
    tell({ type: 'ack', accepted: answer.accepted, consumed: answer.consumed, ttlMs: answer.ttlMs })
    if (lane !== undefined || typeof given !== 'function') return
    const found = await given(frame)
    if (found === undefined) tell({ type: 'error', error: 'ended' })
    else void begin(found)
  }
  const ticked = (frame: TickFrame): Promise<Ticked> =>
    lane !== undefined && frame.sid !== lane.sid ? Promise.resolve('malformed') : tick(frame).catch((): FrameError => 'store')
  /** One after the other, as they came. */
  const obey = async (): Promise<void> => {
    if (isObeying) return
    isObeying = true
    for (let [next] = controls; next !== undefined; [next] = controls) {
      await control(next)
      controls.shift()
    }
    isObeying = false
  }

  raw.on('message', (data, isBinary) => {
    silent = 0
    const bytes = data instanceof Uint8Array ? data : new Uint8Array()
    const frame = isBinary ? decodeClientFrame(bytes) : undefined
    if (!isBinary) inbox.put(Buffer.from(bytes).toString('utf8'), bytes.length)
    else if (frame === undefined) leave(closeCodes.reserved, 'reserved')
    else if (frame.type === 'data') inbox.put(Uint8Array.from(frame.bytes), frame.bytes.length)
    else if (controls.length >= mostControls) leave(closeCodes.flooded, 'too many ticks')
    else {
      controls.push(frame)
      void obey()
    }
    if (inbox.unread() > mostUnread) leave(closeCodes.flooded, 'too much unread')
  })
  const still = beats(() => {
    silent += 1
    if (silent > mostSilent) raw.terminate()
    else raw.ping()
  })
  raw.on('pong', () => {
    silent = 0
  })
  raw.on('error', () => raw.terminate())
  raw.on('close', (code) => {
    still()
    over.abort()
    inbox.end()
    // Who closes well has done with it; who is cut off may come back.
    if (code === 1000) void lane?.end('closed')
    else lane?.release()
  })
  if (lane !== undefined) void begin(lane)
}

const ignore = (): void => {}

function costIn({ unit, clock }: Lane): (message: string | Uint8Array) => Units {
  const bytes = bytesPerUnit(unit)
  if (bytes !== undefined) return (message) => (BigInt(Buffer.byteLength(message)) * oneUnit) / bytes
  return () => (clock === 'wall' ? 0n : oneUnit)
}

const gates: Readonly<Record<string, GateReason>> = { withdrawing: 'withdrawing', store: 'store', lease: 'lease-lost' }

function frameOf({ t, need, ttl, reason, consumed, charged }: LaneEvent): ServerFrame[] {
  const ttlMs = ttl === undefined ? undefined : ttl * 1000
  if (t === 'gated') return [{ type: 'gated', reason: gates[reason ?? ''] ?? 'credit' }]
  if ((t === 'low' || t === 'need' || t === 'open') && need !== undefined) return [{ type: 'need', need, ttlMs }]
  return t === 'receipt' ? [{ type: 'receipt', consumed, charged }] : []
}

type Inbox = AsyncIterable<string | Uint8Array> & {
  put(message: string | Uint8Array, size: number): void
  end(): void
  /** Bytes that nobody has read. */
  unread(): number
}

/** Messages in order, for one reader. */
function createInbox(): Inbox {
  const queue: { readonly message: string | Uint8Array; readonly size: number }[] = []
  let [unread, isOver] = [0, false]
  let wake = (): void => {}
  return {
    unread: () => unread,
    put(message, size) {
      queue.push({ message, size })
      unread += size
      wake()
    },
    end() {
      isOver = true
      wake()
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const next = queue.shift()
        if (next !== undefined) {
          unread -= next.size
          yield next.message
        } else if (isOver) return
        else
          await new Promise<void>((resolve) => {
            wake = resolve
          })
      }
    },
  }
}
