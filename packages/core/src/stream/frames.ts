import { toBase64Url } from '../calls/base64.ts'
import { streamErrors } from './errors.ts'
import { isSid } from './headers.ts'

/** The subprotocol of a socket that is one lane (streaming.md §6). */
export const streamSubprotocol = 'flow402x.v1'

/** With what a server closes a socket whose frames are none of these, one that sends more than it can take, and one that is paid no longer. */
export const closeCodes = { reserved: 1002, flooded: 1008, unpaid: 4402 } as const

/** Why a gate is shut. */
export type GateReason = 'credit' | 'withdrawing' | 'store' | 'lease-lost'

/** What is wrong with a frame, or with the lane it is for. */
export type FrameError = 'malformed' | 'stale' | 'over' | 'ended' | 'withdrawing' | 'rate' | 'store' | 'signature'

/** Bytes of the application. */
export type DataFrame = { readonly type: 'data'; readonly bytes: Uint8Array }

/** A tick: a voucher of an EVM channel (65 bytes of signature) or of one on Solana (64 bytes, at most 2⁶⁴ − 1). */
export type TickFrame = {
  readonly type: 'tick'
  readonly family: 'evm' | 'solana'
  readonly sid: string
  readonly max: bigint
  readonly signature: Uint8Array
}

/** What a payer sends over a socket. */
export type ClientFrame = TickFrame | DataFrame

/** What a server sends over a socket. `ttlMs` is for how long the credit lasts, absent where units are no time. */
export type ServerFrame =
  | { readonly type: 'need'; readonly need: bigint; readonly ttlMs?: number | undefined }
  | { readonly type: 'ack'; readonly accepted: bigint; readonly consumed: bigint; readonly ttlMs?: number | undefined }
  | { readonly type: 'gated'; readonly reason: GateReason }
  | { readonly type: 'receipt'; readonly consumed: bigint; readonly charged: bigint }
  | { readonly type: 'error'; readonly error: FrameError }
  | DataFrame

const gateReasons: readonly GateReason[] = ['credit', 'withdrawing', 'store', 'lease-lost']
const frameErrors: readonly FrameError[] = ['malformed', 'stale', 'over', 'ended', 'withdrawing', 'rate', 'store', 'signature']
const kinds = { tickEvm: 0x01, tickSolana: 0x02, need: 0x11, ack: 0x12, gated: 0x13, receipt: 0x14, error: 0x1f, data: 0x20 } as const
const sizes: Readonly<Record<number, number>> = { 1: 98, 2: 89, 17: 21, 18: 37, 19: 2, 20: 33, 31: 2 }
const noTtl = 0xffff_ffff
const [u128, u64, u32] = [16, 8, 4]
const limits: Readonly<Record<number, bigint>> = { [u128]: 1n << 128n, [u64]: 1n << 64n, [u32]: 1n << 32n }
// A view over each number's own bytes would cost more than the number.
const scratch = new DataView(new ArrayBuffer(u128))
const scratchBytes = new Uint8Array(scratch.buffer)

/** Writes what a payer sends. Errors: `stream/bad-frame`. */
export function encodeClientFrame(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  if (frame.type === 'data') return dataFrame(frame.bytes)
  const { family, sid, max, signature } = frame
  const sidBytes = bytesOfSid(sid)
  if (sidBytes === undefined || signature.length !== (family === 'evm' ? 65 : 64))
    throw streamErrors('stream/bad-frame', { why: 'this tick names no lane, or its signature is not whole' })
  const tick = framed(family === 'evm' ? kinds.tickEvm : kinds.tickSolana)
  tick.set(sidBytes, 1)
  const end = putInteger(tick, max, { at: 17, bytes: family === 'evm' ? u128 : u64 })
  if (family === 'solana') tick.subarray(17, end).reverse()
  tick.set(signature, end)
  return tick
}

/** Reads what a payer sent; nothing where the socket is to be closed with `closeCodes.reserved`. */
export function decodeClientFrame(frame: Uint8Array): ClientFrame | undefined {
  const kind = kindOf(frame)
  if (kind === kinds.data) return { type: 'data', bytes: frame.subarray(1) }
  if (kind !== kinds.tickEvm && kind !== kinds.tickSolana) return undefined
  const sid = sidOfBytes(frame.subarray(1, 17))
  if (kind === kinds.tickEvm) return { type: 'tick', family: 'evm', sid, max: valueAt(frame, 17), signature: frame.subarray(33) }
  return { type: 'tick', family: 'solana', sid, max: viewOf(frame).getBigUint64(17, true), signature: frame.subarray(25) }
}

/** Writes what a server sends. Errors: `stream/bad-frame`. */
export function encodeServerFrame(frame: ServerFrame): Uint8Array<ArrayBuffer> {
  switch (frame.type) {
    case 'data':
      return dataFrame(frame.bytes)
    case 'need':
      return numbered(kinds.need, frame.ttlMs, frame.need)
    case 'ack':
      return numbered(kinds.ack, frame.ttlMs, frame.accepted, frame.consumed)
    case 'gated':
      return framed(kinds.gated).fill(gateReasons.indexOf(frame.reason) + 1, 1)
    case 'receipt':
      return numbered(kinds.receipt, undefined, frame.consumed, frame.charged)
    case 'error':
      return framed(kinds.error).fill(frameErrors.indexOf(frame.error) + 1, 1)
  }
}

/** Reads what a server sent; nothing where it is none of its frames. */
export function decodeServerFrame(frame: Uint8Array): ServerFrame | undefined {
  switch (kindOf(frame)) {
    case kinds.data:
      return { type: 'data', bytes: frame.subarray(1) }
    case kinds.need:
      return { type: 'need', need: valueAt(frame, 1), ...ttlAt(frame, 17) }
    case kinds.ack:
      return { type: 'ack', accepted: valueAt(frame, 1), consumed: valueAt(frame, 17), ...ttlAt(frame, 33) }
    case kinds.gated: {
      const reason = gateReasons[(frame[1] ?? 0) - 1]
      return reason && { type: 'gated', reason }
    }
    case kinds.receipt:
      return { type: 'receipt', consumed: valueAt(frame, 1), charged: valueAt(frame, 17) }
    case kinds.error: {
      const error = frameErrors[(frame[1] ?? 0) - 1]
      return error && { type: 'error', error }
    }
  }
  return undefined
}

/** The 16 bytes that a `sid` names; nothing for text that names no lane. */
export function bytesOfSid(sid: string): Uint8Array<ArrayBuffer> | undefined {
  if (!isSid(sid)) return undefined
  return Uint8Array.from(atob(sid.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0))
}

/** The `sid` of 16 bytes. */
export function sidOfBytes(bytes: Uint8Array): string {
  return toBase64Url(bytes)
}

function dataFrame(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = framed(kinds.data, 1 + bytes.length)
  frame.set(bytes, 1)
  return frame
}

/** A frame of that kind with room for what it says. */
function framed(kind: number, size = sizes[kind] ?? 1): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(size)
  frame[0] = kind
  return frame
}

/** A frame of amounts, and of how long credit lasts where it has room for that: rounded down, never longer than it does. */
function numbered(kind: number, ttlMs: number | undefined, ...amounts: readonly bigint[]): Uint8Array<ArrayBuffer> {
  const frame = framed(kind)
  let at = 1
  for (const amount of amounts) at = putInteger(frame, amount, { at, bytes: u128 })
  const lasting = ttlMs === undefined ? noTtl : Math.min(Math.max(Math.floor(ttlMs), 0), noTtl - 1)
  if (at < frame.length) putInteger(frame, BigInt(lasting), { at, bytes: u32 })
  return frame
}

/** What a frame is by its first byte, where it has the size of that. */
function kindOf(frame: Uint8Array): number | undefined {
  const [kind = 0] = frame
  return kind === kinds.data || frame.length === sizes[kind] ? kind : undefined
}

/** Writes an integer there, and says where it ends. */
function putInteger(frame: Uint8Array, value: bigint, { at, bytes }: { readonly at: number; readonly bytes: number }): number {
  if (value < 0n || value >= (limits[bytes] ?? 0n))
    throw streamErrors('stream/bad-frame', { why: `${value} does not fit into ${bytes} bytes` })
  // What is above 64 bits is left away, and stands before.
  scratch.setBigUint64(u64, value)
  if (bytes === u128) scratch.setBigUint64(0, value >> 64n)
  for (let index = 0; index < bytes; index += 1) frame[at + index] = scratchBytes[u128 - bytes + index] ?? 0
  return at + bytes
}

/** The 128-bit integer there. */
function valueAt(frame: Uint8Array, at: number): bigint {
  for (let index = 0; index < u128; index += 1) scratchBytes[index] = frame[at + index] ?? 0
  const [high, low] = [scratch.getBigUint64(0), scratch.getBigUint64(u64)]
  return high === 0n ? low : (high << 64n) | low
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length)
}

function ttlAt(frame: Uint8Array, at: number): { readonly ttlMs?: number } {
  const ttlMs = viewOf(frame).getUint32(at)
  return ttlMs === noTtl ? {} : { ttlMs }
}
