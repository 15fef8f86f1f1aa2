import type { ChannelEvent, Facilitator } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { nonceScene, usd } from '../fixtures/nonce-scene.ts'
import { nonceVoucherServer } from './server.ts'

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
type Scene = Awaited<ReturnType<typeof scene>>

/** Another process of the same seller. */
function process({ clock }: Scene, store: Scene['store'], fetch = globalThis.fetch) {
  const { network, rpcUrl } = local
  const seller = { network, rpcUrl, payTo: local.seller.address, freshFor: 0, clock: () => clock.now }
  const made = nonceVoucherServer({ ...seller, store, fetch })
  if (made.rail === undefined || made.vouchers === undefined) throw new TypeError('no rail')
  return { rail: made.rail, vouchers: made.vouchers }
}

it('a facilitator that is away keeps no lane waiting, and settles all of it when it is back', async () => {
  verifies('F16')
  const s = await scene()
  const before = await s.received()
  await s.tick(usd, { opens: true })
  await s.rail.grow(s.lane(usd))
  const away = async (): Promise<never> => {
    throw new Error('away')
  }
  const facilitator: Facilitator = { ...s.facilitator, supported: away, settle: away }
  const told: ChannelEvent[] = []
  const lone = s.scheme.vouchers?.runner({ facilitator, onEvent: (event) => told.push(event) })
  expect(await lone?.round({ all: true })).toMatchObject({ claimed: 0, settled: 0n })
  expect(told).toMatchObject([{ type: 'error' }])
  expect(await s.tick(2n * usd)).toMatchObject({ accepted: 2n * usd, granted: 2n * usd })
  await s.rail.grow(s.lane(2n * usd))
  await lone?.close()
  expect(await s.runner.round({ all: true })).toMatchObject({ claimed: 1, settled: 2n * usd })
  expect((await s.received()) - before).toBe(2n * usd)
})

it('books that were restored from an old backup are raised to the chain, and nothing is settled twice', async () => {
  verifies('F13')
  const s = await scene()
  const before = await s.received()
  await s.tick(usd, { opens: true })
  await s.rail.grow(s.lane(usd))
  const backup = await s.store.channels.find({ side: 'receiver', id: s.id })
  if (backup === undefined) throw new TypeError('no row')
  await s.tick(2n * usd)
  await s.rail.grow(s.lane(2n * usd))
  expect(await s.runner.round({ all: true })).toMatchObject({ settled: 2n * usd })

  const store = memoryStore()
  await store.channels.open(backup)
  const restored = process(s, store)
  const runner = restored.vouchers.runner({ facilitator: s.facilitator })
  open.push(runner)
  expect(await runner.round({ all: true })).toMatchObject({ claimed: 0, settled: 0n })
  const row = await store.channels.find({ side: 'receiver', id: s.id })
  expect(row).toMatchObject({ charged: 2n * usd, funds: { claimed: 2n * usd } })
  expect(row && row.top >= 2n * usd).toBe(true)
  // What its payer signs next is above all of it, and he pays for no more than that.
  const payment = await s.payment(3n * usd)
  const channel = await restored.rail.check(payment)
  const signed =
    'reason' in channel
      ? undefined
      : await channel.signed({ max: 3n * usd, signature: restored.rail.read(payment.payment)?.signature ?? '' })
  const lane = { ...s.lane(), id: 'next' }
  expect(await restored.rail.raise({ max: 3n * usd, signature: signed ?? '' }, lane, { opens: true })).toMatchObject({ granted: usd })
  await restored.rail.end({ ...lane, used: usd, epoch: 1 }, { refundable: true })
  expect(await runner.round({ all: true })).toMatchObject({ settled: usd })
  expect((await s.received()) - before).toBe(3n * usd)
})

it('a node that is behind grants nothing upon a nonce that has moved on, and takes nothing back', async () => {
  verifies(['H30', 'M30'])
  const s = await scene()
  await s.tick(usd, { opens: true })
  // What it said of the channel once, it says for ever.
  let stale: string | undefined
  const behind = process(s, s.store, async (input, init) => {
    const isAccounts = String(init?.body).includes('getMultipleAccounts')
    if (isAccounts && stale !== undefined) return new Response(stale, { headers: { 'content-type': 'application/json' } })
    const response = await fetch(input, init)
    if (isAccounts) stale = await response.clone().text()
    return response
  })
  s.clock.now += 1
  expect(await behind.rail.grow(s.lane(400_000n))).toMatchObject({ used: 400_000n, granted: usd })
  await s.rail.grow(s.lane(usd))
  s.clock.now += 1
  expect(await s.runner.round({ all: true })).toMatchObject({ settled: usd })
  s.clock.now += 1
  await expect(behind.rail.grow(s.lane(usd))).rejects.toMatchObject({ code: 'solana/channel-behind' })
  expect(await s.store.channels.find({ side: 'receiver', id: s.id })).toMatchObject({ charged: usd, funds: { claimed: usd } })
  expect(await s.tick(2n * usd)).toMatchObject({ accepted: 2n * usd })
})

it('a voucher of nothing, or of the highest without its signature, opens nothing and tells nothing', async () => {
  verifies('A23')
  const s = await scene()
  await s.tick(2n * usd, { opens: true })
  const good = await s.payment(2n * usd)
  const forged = (voucher: object) => {
    // Made by the scene, by these names.
    const payload = good.payment.payload as { voucher: Record<string, string> }
    return { ...good, payment: { ...good.payment, payload: { ...payload, voucher: { ...payload.voucher, ...voucher } } } }
  }
  for (const voucher of [
    { maxClaimableAmount: '0' },
    { maxClaimableAmount: '0', signature: '1'.repeat(64) },
    { signature: '1'.repeat(64) },
  ]) {
    const refusal = await s.rail.check(forged(voucher))
    expect(refusal).toEqual({ reason: 'invalid_flow402x_nonce_voucher_signature' })
  }
  // The highest of all is public once it is settled: who shows it opens no lane with it, and hears where it stands (M26).
  const signature = s.rail.read(good.payment)?.signature ?? ''
  const signed = await (await s.rail.channel(s.id))?.signed({ max: 2n * usd, signature })
  const thief = { ...s.lane(), id: 'thief' }
  expect(await s.rail.raise({ max: 2n * usd, signature: signed ?? '' }, thief, { opens: true })).toMatchObject({ status: 402 })
})
