import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { getRevokeInstruction } from '@solana-program/token'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { at } from '../fixtures/channels.ts'
import { nonceScene, usd } from '../fixtures/nonce-scene.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterAll(() => local?.stop())

// Each is settled by a transaction of its own: what holds for a few holds for a hundred.
const count = 8

it('channels with live lanes are settled for what was delivered, once, and one whose payer revoked takes no other along', async () => {
  verifies(['T10', 'T16', 'F23'])
  const scene = await nonceScene(local, { amount: usd })
  try {
    const payers: Awaited<ReturnType<typeof scene.another>>[] = [scene]
    while (payers.length < count) payers.push(await scene.another())
    const before = await scene.received()
    const used = (index: number) => 1000n * BigInt(index + 1)
    const all = payers.reduce((sum, _, index) => sum + used(index), 0n)
    const deliver = async (payer: (typeof payers)[number], { from, to, opens }: { from: bigint; to: bigint; opens: boolean }) => {
      const epoch = opens ? payer.first : await payer.epoch()
      // What was delivered to its end, and what lies ahead of it: the lane lives on.
      await payer.tick(from + to, { opens, epoch })
      await payer.tick(from + to + 100_000n, { epoch })
      expect(await scene.rail.grow(payer.lane(from + to))).toMatchObject({ used: from + to })
    }
    await Promise.all(payers.map((payer, index) => deliver(payer, { from: 0n, to: used(index), opens: true })))
    expect(await scene.runner.round({ all: true })).toEqual({ led: true, claimed: count, settled: all })
    expect((await scene.received()) - before).toBe(all)
    expect(await scene.runner.round({ all: true })).toEqual({ led: true, claimed: 0, settled: 0n })
    expect((await scene.received()) - before).toBe(all)

    const revoked = payers[5]
    if (revoked === undefined) throw new TypeError('no payer')
    const others = payers.filter((payer) => payer !== revoked)
    await Promise.all(payers.map((payer, index) => deliver(payer, { from: used(index) + 100_000n, to: 7n, opens: false })))
    await revoked.send([getRevokeInstruction({ source: at(revoked.channel, 'purse'), owner: revoked.payer })])
    const more = 100_007n * BigInt(others.length)
    expect(await scene.runner.round({ all: true })).toEqual({ led: true, claimed: count - 1, settled: more })
    expect((await scene.received()) - before).toBe(all + more)
    expect(scene.events.filter(({ type }) => type === 'channelPoisoned')).toMatchObject([{ channelId: revoked.id, owed: 100_007n }])
  } finally {
    await scene.close()
  }
})
