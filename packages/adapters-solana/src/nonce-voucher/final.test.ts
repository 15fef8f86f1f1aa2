import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { nonceScene, usd } from '../fixtures/nonce-scene.ts'

let local: SolanaChain
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})
afterAll(() => local?.stop())

async function scene(options: Parameters<typeof nonceScene>[1] = {}) {
  const made = await nonceScene(local, options)
  open.push(made)
  return made
}

describe('an exact final voucher', () => {
  it('leaves nothing of what was delivered: the receiver has it to the atomic unit, over lanes and epochs', async () => {
    verifies('FS1-FINAL')
    const s = await scene()
    const before = await s.received()
    let consumed = 0n
    for (const [window, used] of [
      [2n * usd, 1_234_567n],
      [usd, 1n],
      [usd, 999_999n],
    ] as const) {
      const { settled } = await s.epoch()
      // What was signed for the lanes before is their payer's, and he signs above all of it.
      const top = (await s.store.channels.find({ side: 'receiver', id: s.id }))?.top ?? settled
      expect(await s.tick(top + window, { opens: true })).toMatchObject({ accepted: top + window })
      await s.rail.end(s.lane(used), { refundable: true })
      consumed += used
      expect(await s.final(consumed)).toBeUndefined()
      expect(await s.runner.round({ all: true })).toMatchObject({ settled: used })
      expect((await s.received()) - before).toBe(consumed)
    }
  })

  it('brings a hostile payer nothing: lower takes nothing away, higher is told what it may be for, and a forged one is none', async () => {
    verifies('FS1-FINAL')
    const s = await scene()
    const before = await s.received()
    await s.tick(usd, { opens: true })
    await s.tick(2n * usd)
    await s.rail.end(s.lane(1_500_000n), { refundable: true })
    // Above what was delivered, though below what was signed; and above all of it.
    for (const max of [1_500_001n, 2n * usd, 9n * usd]) expect(await s.final(max)).toMatchObject({ status: 409, accepted: 1_500_000n })
    // A signature for another amount.
    const { nonce, settled } = await s.epoch()
    const signature = await s.sign({ nonce, amount: 7n - settled })
    expect(await (await s.rail.channel(s.id))?.signed({ max: 1_500_000n, signature })).toBeUndefined()
    // Lower than a voucher that was consumed to its end: that one is settled all the same.
    expect(await s.final(3n)).toBeUndefined()
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: usd })
    expect((await s.received()) - before).toBe(usd)
  })

  it('that is signed over a nonce that has moved on is told so, and taken over the next', async () => {
    verifies('FS1-FINAL')
    const s = await scene()
    const before = await s.received()
    await s.tick(usd, { opens: true })
    await s.tick(2n * usd)
    await s.rail.end(s.lane(1_500_000n), { refundable: true })
    const old = await s.epoch()
    await s.runner.round({ all: true })
    expect(await s.final(1_500_000n, old)).toMatchObject({ status: 402, reason: 'invalid_flow402x_nonce_stale_nonce' })
    expect(await s.final(1_500_000n)).toBeUndefined()
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: 500_000n })
    expect((await s.received()) - before).toBe(1_500_000n)
  })
})

describe('a payer who vanishes', () => {
  /** What the receiver is short of once all that can be settled is. */
  const shortOf = async (s: Awaited<ReturnType<typeof scene>>, used: bigint, before: bigint): Promise<bigint> => {
    await s.rail.end(s.lane(used), { refundable: true })
    await s.runner.round({ all: true })
    return used - ((await s.received()) - before)
  }

  it('after ticks of a window each leaves less than a window unpaid, wherever he stops', async () => {
    verifies('FS1-FINAL')
    const window = 100_000n
    for (const stop of [1n, 99_999n, 249_999n]) {
      const s = await scene({ slice: 10n * window })
      const before = await s.received()
      for (let used = 0n; used < stop; used += window / 2n) {
        await s.rail.grow(s.lane(used))
        await s.tick(used + window, { opens: used === 0n, epoch: s.first })
      }
      const short = await shortOf(s, stop, before)
      expect([stop, short < window, short >= 0n]).toEqual([stop, true, true])
    }
  })

  it('gets no more than two of the largest windows beyond what can be settled, however much he signs at once', async () => {
    verifies('FS1-FINAL')
    const slice = 100_000n
    const s = await scene({ slice })
    const before = await s.received()
    expect(await s.tick(9n * usd, { opens: true })).toMatchObject({ granted: slice })
    let granted = slice
    for (let step = 0; step < 5; step += 1) {
      const standing = await s.rail.grow(s.lane(granted))
      if ('reason' in standing) throw new Error(standing.reason)
      granted = standing.granted
    }
    expect(await s.rail.grow(s.lane(granted))).toMatchObject({ granted: 2n * slice, ahead: 0n })
    expect(await shortOf(s, granted, before)).toBe(2n * slice)
  })

  it('pushes nothing out of the books by signing a little more, again and again', async () => {
    verifies('FS1-FINAL')
    const slice = 100_000n
    const s = await scene({ slice })
    const before = await s.received()
    await s.tick(slice, { opens: true })
    await s.tick(2n * slice)
    await s.rail.grow(s.lane(slice))
    for (let more = 1n; more <= 20n; more += 1n) await s.tick(2n * slice + more, { epoch: s.first })
    await s.rail.grow(s.lane(slice + 50_000n))
    expect(await shortOf(s, slice + 50_000n, before)).toBe(50_000n)
  })
})
