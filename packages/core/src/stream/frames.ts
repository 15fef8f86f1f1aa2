import { toBase64 } from '../calls/base64.ts'
import { streamErrors } from './errors.ts'
import { sidText } from './headers.ts'

/** The subprotocol of a socket that is one lane (streaming.md §6). */
export const streamSubprotocol = 'flow402x.v1'

/** With what a server closes a socket whose frames are none of these, and one that sends more than it can take. */
export const closeCodes = { reserved: 1002, flooded: 1008 } as const

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
// A view over each number's own bytes would cost more than the number.
const scratch = new DataView(new ArrayBuffer(u128))
const scratchBytes = new Uint8Array(scratch.buffer)

/** Writes what a payer sends. Errors: `stream/bad-frame`. */
export function encodeClientFrame(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  if (frame.type === 'data') return join(kinds.data, frame.bytes)
  const { family, sid, max, signature } = frame
  const sidBytes = bytesOfSid(sid)
  if (sidBytes === undefined || signature.length !== (family === 'evm' ? 65 : 64))
    throw streamErrors('stream/bad-frame', { why: 'this tick names no lane, or its signature is not whole' })
  if (family === 'evm') return join(kinds.tickEvm, sidBytes, integer(max, u128), signature)
  return join(kinds.tickSolana, sidBytes, integer(max, u64).reverse(), signature)
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
      return join(kinds.data, frame.bytes)
    case 'need':
      return join(kinds.need, integer(frame.need, u128), lasting(frame.ttlMs))
    case 'ack':
      return join(kinds.ack, integer(frame.accepted, u128), integer(frame.consumed, u128), lasting(frame.ttlMs))
    case 'gated':
      return join(kinds.gated, [gateReasons.indexOf(frame.reason) + 1])
    case 'receipt':
      return join(kinds.receipt, integer(frame.consumed, u128), integer(frame.charged, u128))
    case 'error':
      return join(kinds.error, [frameErrors.indexOf(frame.error) + 1])
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
  if (!sidText.safeParse(sid).success) return undefined
  return Uint8Array.from(atob(sid.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0))
}

/** The `sid` of 16 bytes. */
export function sidOfBytes(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function join(kind: number, ...parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(1 + parts.reduce((sum, { length }) => sum + length, 0))
  frame[0] = kind
  let at = 1
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

/** What a frame is by its first byte, where it has the size of that. */
function kindOf(frame: Uint8Array): number | undefined {
  const [kind = 0] = frame
  return kind === kinds.data || frame.length === sizes[kind] ? kind : undefined
}

function integer(value: bigint, bytes: number): Uint8Array {
  if (value < 0n || value >= 1n << BigInt(8 * bytes))
    throw streamErrors('stream/bad-frame', { why: `${value} does not fit into ${bytes} bytes` })
  // What is above 64 bits is left away, and stands before.
  scratch.setBigUint64(u64, value)
  if (bytes === u128) scratch.setBigUint64(0, value >> 64n)
  return scratchBytes.slice(u128 - bytes)
}

/** The 128-bit integer there. */
function valueAt(frame: Uint8Array, at: number): bigint {
  const view = viewOf(frame)
  return (view.getBigUint64(at) << 64n) | view.getBigUint64(at + u64)
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length)
}

/** Rounded down: credit is never said to last longer than it does. */
function lasting(ttlMs: number | undefined): Uint8Array {
  return integer(ttlMs === undefined ? BigInt(noTtl) : BigInt(Math.min(Math.max(Math.floor(ttlMs), 0), noTtl - 1)), u32)
}

function ttlAt(frame: Uint8Array, at: number): { readonly ttlMs?: number } {
  const ttlMs = viewOf(frame).getUint32(at)
  return ttlMs === noTtl ? {} : { ttlMs }
}
