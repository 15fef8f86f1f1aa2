import { privateKeySigner } from '@flow402x/adapters-evm/client'
import type { PaymentRequirements } from '@flow402x/core'
import { batchSignature, type ChannelPayer, channelPayer, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const window = 40n * token
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }

const open = (plan: Partial<ShopPlan> = {}) => ground.open({ rate: tokens, source: slowTokens, streams: { ticksPerSecond: 100 }, ...plan })

async function runnerOf({ scheme }: StreamShop) {
  await scheme.start?.()
  const runner = scheme.vouchers?.runner({ facilitator: ground.facilitator })
  if (runner === undefined) throw new RangeError('no runner')
  ground.closing(() => runner.close())
  // From here on it knows what happens.
  await runner.round({ all: false })
  return runner
}

/** A channel of the buyer's whose vouchers another key signs. */
async function keyed(shop: StreamShop, { voucherKey, salt }: { readonly voucherKey: `0x${string}`; readonly salt: bigint }) {
  const accepted = await acceptedBy(shop)
  const payer = await channelPayer(ground.chain, { key: ground.chain.buyer.privateKey, voucherKey, accepted, salt })
  expect(await payer.fill(1000n * token, salt)).toBe('done')
  return payer
}

async function acceptedBy(shop: StreamShop): Promise<PaymentRequirements> {
  const [accepted] = (await shop.offer()).accepts
  if (accepted === undefined) throw new RangeError('no offer')
  return accepted
}

/** The keys of two spare accounts. */
function spareKeys(): readonly [`0x${string}`, `0x${string}`] {
  const [one, other] = [ground.chain.accounts.at(-1), ground.chain.accounts.at(-2)]
  if (one === undefined || other === undefined) throw new RangeError('too few accounts')
  return [one.privateKey, other.privateKey]
}

test('who stole a voucher key is sold to until the wallet leaves, and the wallet loses what was delivered and no more', async () => {
  verifies(['F18', 'F5'])
  const shop = await open()
  const runner = await runnerOf(shop)
  const [stolen] = spareKeys()
  const held = await ground.chain.balanceOf(ground.chain.buyer.address)
  // The thief has everything but the wallet: the same payments are the owner's and his.
  const thief = await keyed(shop, { voucherKey: stolen, salt: 901n })
  const reading = await shop.open(thief.voucher(window), 'B')
  await vi.waitFor(() => expect(reading.items.length).toBe(40), 5000)
  expect((await shop.slide(reading.sid, thief.voucher(2n * window))).status).toBe(200)
  await vi.waitFor(() => expect(reading.items.length).toBe(80), 5000)

  expect(await thief.withdraw(1000n * token)).toBe('done')
  await runner.round({ all: false })
  expect((await shop.slide(reading.sid, thief.voucher(3n * window))).status).toBe(423)
  expect((await shop.open(thief.voucher(4n * window), 'B')).status).toBe(423)
  await runner.round({ all: false })
  expect((await shop.row(thief)).funds.claimed).toBe(2n * window)
  await ground.chain.increaseTime(900)
  expect(await thief.finish()).toBe('done')
  await vi.waitFor(async () => expect(await ground.chain.balanceOf(ground.chain.buyer.address)).toBe(held - 2n * window))
  expect(reading.items.length).toBe(80)
})

test('a voucher key that was left behind signs for nothing of the channel of the next', async () => {
  verifies('F18')
  const shop = await open()
  const [stolen, fresh] = spareKeys()
  const [before, after] = [await keyed(shop, { voucherKey: stolen, salt: 902n }), await keyed(shop, { voucherKey: fresh, salt: 902n })]
  expect(before.id).not.toBe(after.id)
  const message = { channelId: after.id, maxClaimableAmount: window }
  const signature = await batchSignature(stolen, ground.chain.chainId, { primaryType: 'Voucher', message })
  expect((await shop.open(after.voucher(window, { signature }), 'B')).status).toBe(402)
  const reading = await shop.open(after.voucher(window), 'B')
  expect([reading.status, (await shop.slide(reading.sid, after.voucher(2n * window, { signature }))).status]).toEqual([200, 402])
  expect(await shop.row(after)).toMatchObject({ top: window })
})

test('who stole the key that signs for a receiver gives payers back what was not claimed, and the seller sells to them no longer', async () => {
  verifies('F19')
  const [stolen, fresh] = spareKeys()
  const shop = await open({ scheme: { authorizer: privateKeySigner(stolen) } })
  const runner = await runnerOf(shop)
  const payer = await shop.newPayer(1000n * token)
  const reading = await shop.open(payer.voucher(window), 'B')
  await vi.waitFor(() => expect(reading.items.length).toBe(40), 5000)
  expect((await shop.slide(reading.sid, payer.voucher(2n * window))).status).toBe(200)
  expect(await runner.round({ all: true })).toMatchObject({ claimed: 1, settled: window })
  await vi.waitFor(() => expect(reading.items.length).toBe(80), 5000)

  await refundAs(stolen, payer)
  await runner.round({ all: false })
  expect((await shop.slide(reading.sid, payer.voucher(3n * window))).status).toBe(402)
  expect((await shop.open(payer.voucher(4n * window), 'B')).status).toBe(402)
  await shop.post({ sid: reading.sid, op: 'close' })
  await runner.round({ all: true })
  // What was claimed stays; what was sold since then is what the theft has cost.
  expect(await shop.row(payer)).toMatchObject({ charged: 2n * window, funds: { claimed: window, balance: window } })
  expect(reading.items.length).toBe(80)

  // The next key is named in offers, and who signs by the stolen one has nothing to say in channels that name it.
  const next = await open({ store: shop.store, scheme: { authorizer: privateKeySigner(fresh) } })
  expect((await next.open(payer.voucher(5n * window), 'B')).status).toBe(402)
  const safe = await next.newPayer(1000n * token)
  const sold = await next.open(safe.voucher(window), 'B')
  await vi.waitFor(() => expect(sold.items.length).toBe(40), 5000)
  await expect(refundAs(stolen, safe)).rejects.toThrow('InvalidSignature')
  await next.post({ sid: sold.sid, op: 'close' })
  expect(await (await runnerOf(next)).round({ all: true })).toMatchObject({ settled: window })
})

/** Gives all of a channel back, by the key that signs for its receiver and whoever pays the gas. */
async function refundAs(key: `0x${string}`, { id, config }: ChannelPayer): Promise<void> {
  const message = { channelId: id, nonce: 0n, amount: 1000n * token }
  const refundAuthorizerSignature = await batchSignature(key, ground.chain.chainId, { primaryType: 'Refund', message })
  const payload = {
    type: 'refund',
    channelConfig: config,
    amount: `${message.amount}`,
    refundNonce: '0',
    claims: [],
    refundAuthorizerSignature,
  }
  const requirements = {
    scheme: 'batch-settlement',
    network: ground.chain.network,
    asset: config.token,
    amount: '0',
    payTo: config.receiver,
    maxTimeoutSeconds: 60,
  }
  const outcome = await ground.facilitator.settle({ payment: { x402Version: 2, accepted: requirements, payload }, requirements })
  if (outcome.status !== 'settled') throw new RangeError(JSON.stringify(outcome))
}
