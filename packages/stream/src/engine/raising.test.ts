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
  const { signedBy: _, ...curve } = fastestSecp256k1()
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
    const [first, ...others] = await Promise.all([2n, 3n, 6n, 4n, 5n].map((seconds) => payer.voucher(seconds * second)))
    const { payload, ...rest } = await payer.voucher(7n * second)
    const forged = { ...rest, payload: { ...payload, voucher: { ...Object(payload.voucher), maxClaimableAmount: `${9n * second}` } } }
    mayWrite = new Promise((resolve) => {
      written = resolve
    })
    for (const spy of [recover, update]) spy.mockClear()
    const one = shop.slide(sid, first ?? forged)
    await vi.waitFor(() => expect(update).toHaveBeenCalledTimes(1))
    const group = [...others, forged].map((voucher) => shop.slide(sid, voucher))
    // Nothing is looked at before the first is written.
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(recover).toHaveBeenCalledTimes(1)
    written()
    const answers = await Promise.all([one, ...group])
    expect(answers.map(({ status, body }) => [status, body.accepted])).toEqual([
      [200, `${2n * second}`],
      ...others.map(() => [200, `${6n * second}`]),
      [402, undefined],
    ])
    expect(recover).toHaveBeenCalledTimes(3)
    expect(update).toHaveBeenCalledTimes(2)
  } finally {
    await shop.close()
    await chain.stop()
  }
})
