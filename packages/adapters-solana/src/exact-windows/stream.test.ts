import { type Facilitator, type PaymentRequirements, type Prepared, parsePrice, type Submission } from '@flow402x/core'
import type { RailLane } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { secretKeySender } from '../crypto/signer.ts'
import { exactSolanaClient } from '../exact/client.ts'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { openShop } from '../fixtures/streams.ts'
import { exactWindowsSolanaServer } from './server.ts'

let local: SolanaChain
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})
afterAll(() => local?.stop())

async function scene() {
  const { network, rpcUrl } = local
  const store = memoryStore()
  const scheme = exactWindowsSolanaServer({ network, rpcUrl, payTo: local.seller.address, store })
  const chain = solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [exactSolanaFacilitator({ chain })], confirmTimeout: 10_000 })
  open.push(facilitator)
  await scheme.start?.()
  const client = exactSolanaClient({ signer: secretKeySender(local.buyer.privateKey) })
  const { rail } = scheme
  if (rail === undefined) throw new Error('no rail')
  const pay = (requirements: PaymentRequirements): Promise<Prepared> =>
    client.prepare(requirements, { now: Date.now() / 1000, maxTimeoutSeconds: 60 })
  return { store, scheme, rail, facilitator, pay }
}

describe('a stream that is paid by whole windows', () => {
  it('flows for each payment as long as it bought, and not a chunk longer', async () => {
    verifies('FS1-WINDOWS')
    verifies('T11')
    const { scheme, facilitator, store, pay } = await scene()
    const shop = await openShop([scheme], { facilitator, store, buy: 1 })
    open.unshift(shop)
    const before = await local.balanceOf(local.seller.address)
    const { accepts } = await shop.offer()
    const [requirements] = accepts
    if (requirements === undefined) throw new Error('nothing is offered')
    expect(requirements).toMatchObject({ scheme: 'exact', amount: '10000' })
    const first = await pay(requirements)
    const reading = await shop.open(first, 'A')
    expect(reading.status).toBe(200)
    const gated = (times: number) => vi.waitFor(() => expect(reading.controls.filter(({ t }) => t === 'gated')).toHaveLength(times), 6000)
    await gated(1)
    const paidFor = reading.items.length
    expect(paidFor).toBeGreaterThan(0)
    // The same payment bought its window already, here and for a lane of its own.
    expect(await shop.buy(reading.sid, first)).toBe(402)
    expect((await shop.open(first, 'A')).status).toBe(402)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reading.items).toHaveLength(paidFor)
    expect(await shop.buy(reading.sid, await pay(requirements))).toBe(204)
    await gated(2)
    expect(reading.items.length).toBeGreaterThan(paidFor)
    expect((await local.balanceOf(local.seller.address)) - before).toBe(20_000n)
  })
})

describe('a window', () => {
  const submissionOf = (requirements: PaymentRequirements, { payload }: Prepared): Submission => ({
    payment: { x402Version: 2, accepted: requirements, payload: { ...payload } },
    requirements,
  })

  async function paid(more: Partial<Facilitator> = {}) {
    const s = await scene()
    const [kind] = (await s.facilitator.supported()).kinds
    const requirements = s.scheme.requirements({
      price: parsePrice('$0.05'),
      kind,
      maxTimeoutSeconds: 60,
      flow: 'upfront',
    })
    const submission = submissionOf(requirements, await s.pay(requirements))
    const facilitator: Facilitator = { ...s.facilitator, ...more }
    const channelId = s.rail.read(submission.payment)?.channelId ?? ''
    const lane = (id: string, used?: bigint): RailLane => ({
      id,
      channelId,
      slice: 1_000_000n,
      ...(used === undefined ? {} : { used, epoch: 1 }),
    })
    return { ...s, requirements, submission, facilitator, channelId, lane }
  }

  it('is sold once, however many ask for it at once, and over two instances', async () => {
    verifies('FS1-WINDOWS')
    verifies('T14')
    const s = await paid()
    const { network, rpcUrl } = local
    const other = exactWindowsSolanaServer({ network, rpcUrl, payTo: local.seller.address, store: s.store }).rail
    if (other === undefined) throw new Error('no rail')
    const moved = await Promise.all([s.rail, other, s.rail, other].map((rail) => rail.move(s.submission, s)))
    expect(moved.some((one) => 'status' in one && one.status === 'settled')).toBe(true)
    await vi.waitFor(async () => expect(await other.move(s.submission, s)).toMatchObject({ status: 'settled' }))
    const bought = await Promise.all(
      [s.rail, other, s.rail, other].map((rail, at) => rail.buy(s.submission, s.lane(`lane ${at}`), { opens: true })),
    )
    expect(bought.filter((one) => 'standing' in one)).toHaveLength(1)
    expect(await s.store.channels.find({ side: 'receiver', id: s.channelId })).toMatchObject({ funds: { balance: 50_000n }, top: 50_000n })
  })

  it('is its payer’s after a crash between settling and selling, and after one that heard no answer', async () => {
    verifies('FS1-WINDOWS')
    verifies('F8')
    const s = await paid()
    const before = await local.balanceOf(local.seller.address)
    // The answer of the facilitator is lost with the process that asked.
    const dying: Facilitator = {
      ...s.facilitator,
      async settle(submission, options) {
        await s.facilitator.settle(submission, options)
        throw new Error('killed')
      },
    }
    await expect(s.rail.move(s.submission, { facilitator: dying })).rejects.toThrow('killed')
    expect((await local.balanceOf(local.seller.address)) - before).toBe(50_000n)
    // While the dead one is believed to be alive nobody asks again.
    expect(await s.rail.move(s.submission, s)).toMatchObject({ status: 'pending' })
    const { network, rpcUrl } = local
    const later = exactWindowsSolanaServer({
      network,
      rpcUrl,
      payTo: local.seller.address,
      store: s.store,
      clock: () => Date.now() + 61_000,
    })
    expect(await later.rail?.move(s.submission, s)).toMatchObject({ status: 'settled' })
    expect(await later.rail?.buy(s.submission, s.lane('one'), { opens: true })).toMatchObject({ standing: { granted: 50_000n } })
    expect((await local.balanceOf(local.seller.address)) - before).toBe(50_000n)
  })

  it('is not sold on the word of a facilitator whom the chain does not bear out', async () => {
    verifies('FS1-WINDOWS')
    verifies('M13')
    const s = await paid()
    const lying: Facilitator = {
      ...s.facilitator,
      settle: async ({ requirements }) => ({ status: 'settled', transaction: '5'.repeat(88), network: requirements.network }),
    }
    expect(await s.rail.move(s.submission, { facilitator: lying })).toMatchObject({ status: 'pending' })
    expect(await s.rail.buy(s.submission, s.lane('one'), { opens: true })).toMatchObject({ status: 410 })
  })

  it('is refused for less than its price, another payee, and without a settlement; and is not given back', async () => {
    verifies('FS1-WINDOWS')
    const s = await paid()
    const dearer = { ...s.requirements, amount: '50001' }
    expect(await s.rail.move({ ...s.submission, requirements: dearer }, s)).toMatchObject({ reason: expect.stringContaining('amount') })
    const elsewhere = { ...s.requirements, payTo: local.buyer.address }
    expect(await s.rail.check({ ...s.submission, requirements: elsewhere })).toMatchObject({ reason: expect.stringContaining('recipient') })
    const refusing: Facilitator = {
      ...s.facilitator,
      settle: async ({ requirements: { network } }) => ({ status: 'notSettled', network, reason: 'no', retry: 'never' }),
    }
    const other = await paid()
    expect(await other.rail.move(other.submission, { facilitator: refusing })).toMatchObject({ status: 'notSettled' })
    expect(await other.rail.buy(other.submission, other.lane('one'), { opens: true })).toMatchObject({ status: 410 })
    expect(await s.rail.move(s.submission, s)).toMatchObject({ status: 'settled' })
    await s.rail.buy(s.submission, s.lane('one'), { opens: true })
    expect(await s.rail.end(s.lane('one', 1_000n), { refundable: true })).toMatchObject({ used: 50_000n, charged: 50_000n })
  })
})
