import { isX402Error, type X402Error } from '@flow402x/core'
import {
  costOf,
  decodeServerFrame,
  encodeClientFrame,
  type FrameError,
  oneUnit,
  type ServerFrame,
  type StreamVoucher,
  streamSubprotocol,
  type WalletLane,
} from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import { countsOf, moment } from './meter.ts'
import { type PayStreamOptions, planOf } from './pay-stream.ts'
import { slidingTill } from './till.ts'
import { closeLane, sidIn } from './words.ts'

/** A `WebSocket` of the web or of the package `ws`: as much of it as is used. */
export interface RawWebSocket {
  binaryType: string
  readonly readyState: number
  readonly bufferedAmount: number
  send(data: string | Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: 'open' | 'close' | 'error', listener: () => void): void
}

/**
 * What a socket is opened and paid with. `url` is the route that offers it, by http: the offer says where the socket is. Where units are
 * neither time nor bytes a message is one, whatever is in it: `count` says what it was worth.
 */
export type PayWebSocketOptions = Pick<
  PayStreamOptions,
  'wallet' | 'url' | 'init' | 'units' | 'budget' | 'window' | 'leastBytes' | 'speed' | 'count' | 'signal' | 'now' | 'sleep'
> & {
  /** Makes the socket; the web's own unless told. Where no browser says an origin, it has to. */
  readonly connect?: (url: string, protocol: string) => RawWebSocket
  /** Hears what the server says of the lane. */
  readonly onFrame?: (frame: ServerFrame) => void
}

/**
 * A socket that is paid while messages come. It is an `EventTarget` with the events `message`, `close` and `error`, and with `send`,
 * `close`, `readyState` and `bufferedAmount`, as the web's `WebSocket` has them; it is open when you get it.
 */
export interface PaidWebSocket extends EventTarget {
  readonly url: string
  readonly readyState: number
  readonly bufferedAmount: number
  send(message: string | Uint8Array): void
  close(code?: number, reason?: string): void
  /** Why nothing more is paid, where something went wrong. */
  trouble(): X402Error | undefined
  /** What it used in all (atomic), once it is over. */
  readonly consumed: Promise<bigint>
}

/**
 * Opens a socket that is one lane (streaming.md §6): ticks travel in it as frames, and what the application says as messages.
 *
 * Errors: those of `payStream`.
 */
export async function payWebSocket(options: PayWebSocketOptions): Promise<PaidWebSocket> {
  const { wallet, init = {}, signal, now = () => performance.now(), onFrame = () => {} } = options
  const { sleep = (ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)) } = options
  const { connect = (url, protocol) => new WebSocket(url, protocol) } = options
  const { window, plan } = planOf(options)
  const opened = await wallet.open(options.url, { ...init, ...(signal && { signal }) }, { window, atTick: true })
  const { response, terms, lane, url } = opened
  await response.body?.cancel()
  const [sid, paid] = [sidIn(response), plan(opened)]
  const first = sid === undefined ? undefined : tickOf(sid, lane?.voucher())
  if (terms?.ws === undefined || lane === undefined || sid === undefined || paid === undefined || first === undefined) {
    await lane?.close(0n)
    throw readerErrors('stream/not-open', { url, status: response.status, why: 'it offers no socket that is paid by vouchers' })
  }
  const tickUrl = new URL(terms.tickUrl, url).href
  const place = new URL(terms.ws, url)
  place.protocol = place.protocol === 'https:' ? 'wss:' : 'ws:'
  const ear = { wallet, url, tickUrl, sid }
  const till = slidingTill(lane, { ...paid, ...ear, now, sleep, carry: (voucher) => carry(tickOf(sid, voucher)) })
  const [target, { rate }] = [new EventTarget(), terms]
  const { meter, due, counted, most } = countsOf({ ...options, terms, plan: paid, now, signed: till.signed })
  const raw = await made(() => connect(place.href, streamSubprotocol), { signal, close: () => closeLane(ear, till, { counted, most }) })
  const carry = (frame: Uint8Array<ArrayBuffer> | undefined): void => {
    if (frame !== undefined && raw.readyState === 1) raw.send(frame)
  }
  let messages = 0n
  let finish: (consumed: bigint) => void = () => {}
  const consumed = new Promise<bigint>((resolve) => {
    finish = resolve
  })

  const again = repeating({ lane, sleep, send: (voucher) => carry(tickOf(sid, voucher)) })
  function deliver(data: string | Uint8Array): void {
    meter?.flows(true)
    // A message is one unit, where units are neither time nor bytes.
    messages += 1n
    meter?.said(costOf(rate, messages * oneUnit))
    meter?.received(typeof data === 'string' ? new TextEncoder().encode(data).length : data.length)
    void till.advance(due())
    target.dispatchEvent(new MessageEvent('message', { data }))
  }
  function hear(frame: ServerFrame): void {
    onFrame(frame)
    if (frame.type === 'data') deliver(frame.bytes)
    const isShut = frame.type === 'gated'
    if (isShut) meter?.flows(false)
    // After a while without a message it comes before the next one: time begins with that.
    if (frame.type === 'need') meter?.stood()
    // As in a body: a gate that is shut before this side counts so much is helped by any part of a window.
    if (isShut || frame.type === 'need') void till.advance(due(), isShut ? paid?.window : undefined)
    if (frame.type === 'error') void again(frame.error)
  }
  raw.addEventListener('message', ({ data }) => {
    if (typeof data === 'string') return deliver(data)
    const frame = data instanceof ArrayBuffer ? decodeServerFrame(new Uint8Array(data)) : undefined
    if (frame === undefined) raw.close(1002, 'reserved')
    else hear(frame)
  })
  raw.addEventListener('error', () => target.dispatchEvent(new Event('error')))
  raw.addEventListener('close', () => {
    void closeLane(ear, till, { counted, most })
      .catch(counted)
      .then((used) => {
        finish(used)
        target.dispatchEvent(new Event('close'))
      })
  })
  await opening(raw, place.href)
  raw.send(first)
  void whileOpen(raw, { sleep, idle: () => meter?.isEarly() && till.advance(due()) })

  return Object.defineProperties(target, {
    url: { value: place.href },
    readyState: { get: () => raw.readyState },
    bufferedAmount: { get: () => raw.bufferedAmount },
    send: {
      value: (message: string | Uint8Array) =>
        raw.send(typeof message === 'string' ? message : encodeClientFrame({ type: 'data', bytes: message })),
    },
    close: { value: (code = 1000, reason?: string) => raw.close(code, reason) },
    trouble: { value: till.trouble },
    consumed: { value: consumed },
    // All of its members are defined just here.
  }) as PaidWebSocket
}

/** A socket that `signal` closes; where none can be made its lane is over. */
async function made(
  connect: () => RawWebSocket,
  { signal, close }: { readonly signal: AbortSignal | undefined; readonly close: () => Promise<bigint> },
): Promise<RawWebSocket> {
  try {
    signal?.throwIfAborted()
    const raw = connect()
    raw.binaryType = 'arraybuffer'
    signal?.addEventListener('abort', () => raw.close(1000, 'aborted'), { once: true })
    return raw
  } catch (error) {
    await close()
    throw error
  }
}

/** What came early is paid when its time has come, whether more comes by then or not. */
async function whileOpen(raw: RawWebSocket, { sleep, idle }: { sleep(ms: number): Promise<void>; idle(): unknown }): Promise<void> {
  for (await sleep(moment); raw.readyState === 1; await sleep(moment)) idle()
}

const againMs = 500

type Repeating = {
  readonly lane: WalletLane
  readonly sleep: (ms: number) => Promise<void>
  readonly send: (voucher: StreamVoucher | undefined) => void
}

/** Sends a voucher that was not taken once more: signed anew where a settlement has ended it, else the newest, a little later. */
function repeating({ lane, sleep, send }: Repeating): (error: FrameError) => Promise<void> {
  let isTrying = false
  return async (error) => {
    if (isTrying || !(error === 'over' || error === 'rate' || error === 'store')) return
    isTrying = true
    try {
      if (error !== 'over') await sleep(againMs)
      send(error === 'over' ? await lane.renew() : lane.voucher())
    } catch (failed) {
      // The gate stays shut then, and its server says so.
      if (!isX402Error(failed)) throw failed
    } finally {
      isTrying = false
    }
  }
}

function opening(raw: RawWebSocket, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = () => reject(readerErrors('stream/not-open', { url, status: 0, why: 'its socket did not open' }))
    raw.addEventListener('open', resolve)
    raw.addEventListener('error', failed)
    raw.addEventListener('close', failed)
  })
}

/** A voucher as a frame of its chain's; nothing for one that no frame carries. */
function tickOf(sid: string, voucher: StreamVoucher | undefined): Uint8Array<ArrayBuffer> | undefined {
  const { maxClaimableAmount: max = 0n, signature: text = '' } = voucher ?? {}
  if (/^0x[0-9a-f]{130}$/i.test(text)) {
    const signature = Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
    return encodeClientFrame({ type: 'tick', family: 'evm', sid, max, signature })
  }
  const signature = max < 1n << 64n ? signatureOfBase58(text) : undefined
  return signature && encodeClientFrame({ type: 'tick', family: 'solana', sid, max, signature })
}

const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const base58Text = /^[1-9A-HJ-NP-Za-km-z]{64,88}$/

/** The 64 bytes of a signature in base58; nothing for other text. */
function signatureOfBase58(text: string): Uint8Array | undefined {
  if (!base58Text.test(text)) return undefined
  const value = [...text].reduce((sum, letter) => sum * 58n + BigInt(letters.indexOf(letter)), 0n)
  return value >> 512n === 0n ? Uint8Array.from({ length: 64 }, (_, at) => Number((value >> BigInt(8 * (63 - at))) & 0xffn)) : undefined
}
