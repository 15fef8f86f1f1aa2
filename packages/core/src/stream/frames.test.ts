import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bytesOfSid,
  type ClientFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeClientFrame,
  encodeServerFrame,
  type ServerFrame,
  sidOfBytes,
} from './frames.ts'

const u128 = fc.bigInt(0n, (1n << 128n) - 1n)
const u64 = fc.bigInt(0n, (1n << 64n) - 1n)
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const sid = bytes(16).map(sidOfBytes)
const ttl = fc.option(fc.nat({ max: 0xffff_fffe }), { nil: undefined })
const withTtl = <Frame extends { ttlMs?: number | undefined }>({ ttlMs, ...rest }: Frame) =>
  ttlMs === undefined ? rest : { ...rest, ttlMs }
const data = fc.record({ type: fc.constant('data' as const), bytes: fc.uint8Array({ maxLength: 64 }) })
const clientFrames: fc.Arbitrary<ClientFrame> = fc.oneof(
  data,
  fc.record({ type: fc.constant('tick' as const), family: fc.constant('evm' as const), sid, max: u128, signature: bytes(65) }),
  fc.record({ type: fc.constant('tick' as const), family: fc.constant('solana' as const), sid, max: u64, signature: bytes(64) }),
)
const serverFrames: fc.Arbitrary<ServerFrame> = fc.oneof(
  data,
  fc.record({ type: fc.constant('need' as const), need: u128, ttlMs: ttl }).map(withTtl),
  fc.record({ type: fc.constant('ack' as const), accepted: u128, consumed: u128, ttlMs: ttl }).map(withTtl),
  fc.record({ type: fc.constant('gated' as const), reason: fc.constantFrom('credit', 'withdrawing', 'store', 'lease-lost') }),
  fc.record({ type: fc.constant('receipt' as const), consumed: u128, charged: u128 }),
  fc.record({
    type: fc.constant('error' as const),
    error: fc.constantFrom('malformed', 'stale', 'over', 'ended', 'withdrawing', 'rate', 'store', 'signature'),
  }),
)

describe('frames', () => {
  it('reads back what it writes, both ways', () => {
    verifies('FS1-FRAMES')
    fc.assert(
      fc.property(clientFrames, (frame) => {
        expect(decodeClientFrame(encodeClientFrame(frame))).toEqual(frame)
      }),
    )
    fc.assert(
      fc.property(serverFrames, (frame) => {
        expect(decodeServerFrame(encodeServerFrame(frame))).toEqual(frame)
      }),
    )
  })

  it('has the sizes and the order of bytes that the specification gives', () => {
    verifies('FS1-FRAMES')
    const lane = sidOfBytes(new Uint8Array(16).fill(0xab))
    const evm = encodeClientFrame({ type: 'tick', family: 'evm', sid: lane, max: 0x0102n, signature: new Uint8Array(65).fill(7) })
    const solana = encodeClientFrame({ type: 'tick', family: 'solana', sid: lane, max: 0x0102n, signature: new Uint8Array(64).fill(7) })
    expect([evm.length, hex(evm.subarray(0, 34))]).toEqual([98, `01${'ab'.repeat(16)}${'00'.repeat(14)}010207`])
    expect([solana.length, hex(solana.subarray(0, 26))]).toEqual([89, `02${'ab'.repeat(16)}020100000000000007`])
    const written = [
      encodeServerFrame({ type: 'need', need: 5n, ttlMs: 1980.7 }),
      encodeServerFrame({ type: 'ack', accepted: 5n, consumed: 4n }),
      encodeServerFrame({ type: 'gated', reason: 'lease-lost' }),
      encodeServerFrame({ type: 'receipt', consumed: 4n, charged: 5n }),
      encodeServerFrame({ type: 'error', error: 'signature' }),
      encodeServerFrame({ type: 'data', bytes: Uint8Array.of(1, 2) }),
    ]
    const zeros = '00'.repeat(15)
    expect(written.map(hex)).toEqual([
      `11${zeros}05000007bc`,
      `12${zeros}05${zeros}04ffffffff`,
      '1304',
      `14${zeros}04${zeros}05`,
      '1f08',
      '200102',
    ])
  })

  it('takes no frame of another size, of the other side, of a reserved byte or of no reason', () => {
    verifies('FS1-FRAMES')
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), clientFrames.map(encodeClientFrame)), (frame) => {
        const read = decodeClientFrame(frame)
        expect(read === undefined ? undefined : encodeClientFrame(read)).toEqual(read === undefined ? undefined : Uint8Array.from(frame))
        const own = frame[0] === 0x20 || (frame[0] === 1 && frame.length === 98) || (frame[0] === 2 && frame.length === 89)
        expect(read !== undefined).toBe(own)
      }),
    )
    for (let kind = 0; kind < 256; kind++) {
      for (const length of [0, 1, 20, 32, 36, 97, 88]) {
        const frame = Uint8Array.of(kind, ...new Uint8Array(length).fill(1))
        const client = kind === 0x20 || (kind === 1 && length === 97) || (kind === 2 && length === 88)
        const sizes = new Map([
          [0x11, 20],
          [0x12, 36],
          [0x13, 1],
          [0x14, 32],
          [0x1f, 1],
        ])
        const server = kind === 0x20 || sizes.get(kind) === length
        expect([kind, length, decodeClientFrame(frame) !== undefined, decodeServerFrame(frame) !== undefined]).toEqual([
          kind,
          length,
          client,
          server,
        ])
      }
    }
    expect([decodeServerFrame(Uint8Array.of(0x13, 0)), decodeServerFrame(Uint8Array.of(0x13, 5))]).toEqual([undefined, undefined])
    expect([decodeServerFrame(Uint8Array.of(0x1f, 0)), decodeServerFrame(Uint8Array.of(0x1f, 9))]).toEqual([undefined, undefined])
    expect([decodeServerFrame(new Uint8Array()), decodeClientFrame(new Uint8Array())]).toEqual([undefined, undefined])
  })

  it('writes nothing that does not fit', () => {
    const bad = expect.objectContaining({ code: 'stream/bad-frame' })
    const tick = { type: 'tick', sid: sidOfBytes(new Uint8Array(16)), max: 1n } as const
    expect(() => encodeClientFrame({ ...tick, family: 'evm', signature: new Uint8Array(64) })).toThrow(bad)
    expect(() => encodeClientFrame({ ...tick, family: 'solana', max: 1n << 64n, signature: new Uint8Array(64) })).toThrow(bad)
    expect(() => encodeClientFrame({ ...tick, family: 'evm', sid: 'x', signature: new Uint8Array(65) })).toThrow(bad)
    expect(() => encodeServerFrame({ type: 'need', need: 1n << 128n })).toThrow(bad)
    expect(() => encodeServerFrame({ type: 'need', need: -1n })).toThrow(bad)
  })

  it('has one name for a lane', () => {
    verifies('FS1-FRAMES')
    fc.assert(
      fc.property(bytes(16), (some) => {
        expect(bytesOfSid(sidOfBytes(some))).toEqual(some)
      }),
    )
    expect(bytesOfSid(`${'A'.repeat(21)}B`)).toBeUndefined()
  })
})

function hex(frame: Uint8Array): string {
  return Array.from(frame, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
