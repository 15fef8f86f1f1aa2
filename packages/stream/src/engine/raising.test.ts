import { fastestSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { startEvmChain } from '@flow402x/testing'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { openShop } from '../fixtures/stream-shop.ts'

test('ticks that come while one is written are one signature: the highest that is signed speaks for all, a forged one for nobody', async () => {
  verifies('FS1-TOGETHER')
  const chain = await startEvmChain()
  const store = memoryStore()
  let written = (): void => {}
  let mayWrite: Promise<void> = Promise.resolve()
  const update = vi.fn<typeof store.channels.update>(async (row, next) => {
    await mayWrite
    return store.channels.update(row, next)
  })
  const { often: _, ...curve } = fastestSecp256k1()
  const recover = vi.fn(curve.recover)
  const shop = await openShop({
    chain,
    facilitator: await escrowFacilitator(chain),
    store: { ...store, channels: { ...store.channels, update } },
    scheme: { secp256k1: { ...curve, recover } },
    streams: { ticksPerSecond: 100 },
  })
  try {
    const second = 10_000n
    const payer = await shop.newPayer(100n * second)
    const { sid } = await shop.open(payer.voucher(second), 'B')
    const tickOf = async (signed: bigint, max = signed) => {
      const { signature } = Object((await payer.voucher(signed * second)).payload.voucher)
      return { sid, max: max * second, signature: String(signature) }
    }
    const first = await tickOf(2n)
    const others = await Promise.all([tickOf(3n), tickOf(6n), tickOf(4n), tickOf(5n), tickOf(7n, 9n)])
    mayWrite = new Promise((resolve) => {
      written = resolve
    })
    for (const spy of [recover, update]) spy.mockClear()
    const one = shop.route.tickFrame(first)
    await vi.waitFor(() => expect(update).toHaveBeenCalledTimes(1))
    // Nothing of these is looked at before the first is written.
    const group = others.map((tick) => shop.route.tickFrame(tick))
    expect(recover).toHaveBeenCalledTimes(1)
    written()
    const answers = await Promise.all([one, ...group])
    const speaks = { accepted: 6n * second }
    expect(answers).toMatchObject([{ accepted: 2n * second }, speaks, speaks, speaks, speaks, 'signature'])
    expect(recover).toHaveBeenCalledTimes(3)
    expect(update).toHaveBeenCalledTimes(2)
  } finally {
    await shop.close()
    await chain.stop()
  }
})
