import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Ring, reachOf, settleable, withRingVoucher } from './ring.ts'

const voucher = (max: bigint) => ({ max, signature: `${max}` })
const maxima = (ring: Ring) => ring.map(({ max }) => max)

it('settles the highest voucher that was consumed to its end, and nothing twice', () => {
  verifies('FS1-CHANNELS-RING')
  const ring = [100n, 200n, 300n].map(voucher)
  expect(settleable(ring, { consumed: 299n, settled: 0n })?.max).toBe(200n)
  expect(settleable(ring, { consumed: 300n, settled: 0n })?.max).toBe(300n)
  expect(settleable(ring, { consumed: 300n, settled: 300n })).toBeUndefined()
  expect(settleable(ring, { consumed: 99n, settled: 0n })).toBeUndefined()
})

it('keeps eight: the one that can be settled, the nearest ahead of it, and the highest', () => {
  verifies('FS1-CHANNELS-RING')
  const all = Array.from({ length: 20 }, (_, at) => BigInt(at + 1) * 100n)
  const ring = all.reduce<Ring>((kept, max) => withRingVoucher(kept, voucher(max), 350n), [])
  expect(maxima(ring)).toEqual([300n, 400n, 500n, 600n, 700n, 800n, 900n, 2000n])
  expect(withRingVoucher(ring, { max: 300n, signature: 'anew' }, 350n)[0]?.signature).toBe('anew')
})

it('never has more delivered beyond what can be settled than was agreed, whatever is signed and whenever it stops', () => {
  verifies('FS1-FINAL')
  const most = 100n
  const step = fc.record({ signs: fc.bigInt({ min: 1n, max: 400n }), uses: fc.bigInt({ min: 0n, max: 60n }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let [ring, top, consumed, granted, settled]: [Ring, bigint, bigint, bigint, bigint] = [[], 0n, 0n, 0n, 0n]
      for (const [at, { signs, uses }] of steps.entries()) {
        top += signs
        ring = withRingVoucher(ring, voucher(top), consumed)
        // As a lane is granted: one slice at a time, and as far as it reaches.
        const ends = [top, consumed + most / 2n, reachOf(ring, { settled, most })]
        const next = ends.reduce((a, b) => (a < b ? a : b))
        if (next > granted) granted = next
        consumed = consumed + uses < granted ? consumed + uses : granted
        if (at % 7 === 6) settled = settleable(ring, { consumed, settled })?.max ?? settled
        const safe = settleable(ring, { consumed, settled })?.max ?? settled
        expect(consumed - safe).toBeLessThanOrEqual(most)
      }
    }),
  )
})
