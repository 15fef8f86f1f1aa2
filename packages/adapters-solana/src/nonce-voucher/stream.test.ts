import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, streamWallet } from '@flow402x/client'
import { paymentStreamHeader } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { sqliteStore } from '@flow402x/store/sqlite'
import { payStream } from '@flow402x/stream/client'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { nonceVoucherFacilitator, solanaChain } from '../facilitator.ts'
import { openShop } from '../fixtures/streams.ts'
import { nonceVoucherClient } from './payer/client.ts'
import { nonceVoucherServer } from './server.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterAll(() => local?.stop())

/** A seller of an SSE route over channels of nonces, with his books in a file. */
async function seller({ source }: Pick<Parameters<typeof openShop>[1], 'source'> = {}) {
  const { network, rpcUrl } = local
  const store = sqliteStore(join(await mkdtemp(join(tmpdir(), 'flow402x-')), 'books.db'))
  const scheme = nonceVoucherServer({ network, rpcUrl, payTo: local.seller.address, store })
  const chain = solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [nonceVoucherFacilitator({ chain })], store, confirmTimeout: 10_000 })
  const runner = scheme.vouchers?.runner({ facilitator })
  const shop = await openShop([scheme], { facilitator, store, ...(source && { source }) })
  return {
    shop,
    runner,
    async close() {
      await shop.close()
      await runner?.close()
      await facilitator.close()
      await store.close()
    },
  }
}

it('a stream over a channel of nonces flows while it is paid, gates when it is not, and what was delivered is settled', async () => {
  verifies('T25')
  verifies('T11')
  const { network, rpcUrl } = local
  const { shop, runner, close } = await seller()
  try {
    const client = nonceVoucherClient({ network, rpcUrl, signer: local.buyer.privateKey })
    const [requirements] = (await shop.offer()).accepts
    if (requirements === undefined) throw new Error('nothing is offered')
    expect(requirements).toMatchObject({ scheme: 'flow402x-nonce', amount: '50000', extra: { nonceAuthority: local.facilitator.address } })
    expect(client.supports(requirements)).toBe(true)
    const before = await local.balanceOf(local.seller.address)
    const window = 10_000n
    const account = await client.lanes?.open(requirements, window, { now: Date.now() / 1000, maxTimeoutSeconds: 60 })
    if (account === undefined) throw new Error('no lanes')
    const reading = await shop.open(account.payment())
    expect(reading.status).toBe(200)
    // A second was signed for: it is delivered, and not a chunk more.
    const gated = async (times: number) =>
      await vi.waitFor(() => expect(reading.controls.filter(({ t }) => t === 'gated')).toHaveLength(times), 6000)
    await gated(1)
    const first = reading.items.length
    expect(first).toBeGreaterThan(0)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reading.items).toHaveLength(first)
    const consumed = (): bigint => reading.controls.findLast(({ consumed: said }) => said !== undefined)?.consumed ?? 0n
    expect(consumed()).toBe(10_000n)
    const tick = await account.slide({ used: 10_000n, window, least: 1n })
    if (tick === undefined) throw new Error('nothing to sign')
    // By the reason of its own scheme, whatever other chains call it.
    const forged = { ...tick, signature: `${tick.signature.slice(0, -4)}AA==` }
    expect(await shop.slide(reading.sid, forged)).toMatchObject({
      status: 402,
      text: expect.stringContaining('invalid_flow402x_nonce_voucher_signature'),
    })
    expect(await shop.slide(reading.sid, tick)).toMatchObject({ status: 200 })
    await gated(2)
    expect(reading.items.length).toBeGreaterThan(first)
    await runner?.round({ all: true })
    expect((await local.balanceOf(local.seller.address)) - before).toBeGreaterThanOrEqual(10_000n)
    // A tick over the nonce of before is dead; its payer reads the chain and signs for the same anew.
    const dead = await account.slide({ used: 20_000n, window, least: 1n })
    if (dead === undefined) throw new Error('nothing to sign')
    const refused = await shop.slide(reading.sid, dead)
    expect(refused).toMatchObject({ status: 402, text: expect.stringContaining('stale_nonce') })
    const anew = await account.renew?.()
    if (anew === undefined) throw new Error('not renewed')
    expect(await shop.slide(reading.sid, anew)).toMatchObject({ status: 200 })
    await gated(3)
    expect(await shop.end(reading.sid)).toBe(200)
    await vi.waitFor(() => expect(reading.controls.some(({ t }) => t === 'receipt')).toBe(true), 3000)
    expect(consumed()).toBe(30_000n)
    await account.close(30_000n)
    await runner?.round({ all: true })
    expect((await local.balanceOf(local.seller.address)) - before).toBe(30_000n)
  } finally {
    await close()
  }
})

it('a client within its budget opens such a stream, and signs anew what a settlement has ended', async () => {
  verifies('T25')
  const { network, rpcUrl } = local
  const { shop, runner, close } = await seller()
  try {
    const buyer = local.accounts.findLast(({ role }) => role === 'buyer')
    if (buyer === undefined) throw new Error('no buyer')
    const scheme = nonceVoucherClient({ network, rpcUrl, signer: buyer.privateKey })
    const wallet = streamWallet(createClient({ schemes: [scheme], budget: { perPayment: '$1', total: '$2' } }))
    const stopped = new AbortController()
    const { response, lane, terms } = await wallet.open(`${shop.url}/live`, { signal: stopped.signal }, { window: () => 1_000_000_000n })
    expect(response.status).toBe(200)
    expect(terms).toMatchObject({ unit: 'second', clock: 'wall' })
    if (lane === undefined) throw new Error('it was paid by windows')
    const { sid = '' } = paymentStreamHeader.decode(response.headers.get('Payment-Stream') ?? '')
    const slide = async (used: bigint) => {
      const voucher = await lane.slide({ used, window: 10_000n, least: 1n })
      if (voucher === undefined) throw new Error('nothing to sign')
      return await shop.slide(sid, voucher)
    }
    // The window is over: what was delivered of it stands in the books with the next tick.
    await new Promise((resolve) => setTimeout(resolve, 1300))
    expect(await slide(10_000n)).toMatchObject({ status: 200 })
    expect(await runner?.round({ all: true })).toMatchObject({ settled: 10_000n })
    expect(await slide(20_000n)).toMatchObject({ status: 402, text: expect.stringContaining('stale_nonce') })
    const anew = await lane.renew()
    expect(anew).toMatchObject({ maxClaimableAmount: 30_000n })
    if (anew === undefined) throw new Error('not renewed')
    expect(await shop.slide(sid, anew)).toMatchObject({ status: 200 })
    expect(await lane.renew()).toBeUndefined()
    await lane.close(20_000n)
    stopped.abort()
  } finally {
    await close()
  }
})

it('is read by `payStream` over settlements in its middle, with no chunk unpaid and none lost', async () => {
  verifies('T25')
  verifies('FS1-FINAL')
  const { network, rpcUrl } = local
  const { shop, runner, close } = await seller()
  try {
    const buyer = local.accounts.findLast(({ role, address }) => role === 'buyer' && address !== local.accounts.at(-1)?.address)
    if (buyer === undefined) throw new Error('no buyer')
    const before = await local.balanceOf(local.seller.address)
    const scheme = nonceVoucherClient({ network, rpcUrl, signer: buyer.privateKey })
    const wallet = streamWallet(createClient({ schemes: [scheme], budget: { perPayment: '$1', total: '$2' } }))
    const stream = await payStream({ wallet, url: `${shop.url}/live`, units: '6' })
    expect(stream.grade).toBe('B')
    let settled = 0n
    let chunks = 0
    for await (const _ of stream) {
      chunks += 1
      // Twice while it flows, and the payer hears of it only by his next tick.
      if (chunks === 50 || chunks === 70) settled += (await runner?.round({ all: true }))?.settled ?? 0n
    }
    const receipt = await stream.receipt
    expect(settled).toBeGreaterThan(0n)
    expect(receipt.signed).toBeLessThanOrEqual(60_000n)
    // How much of its time flowed is the machine's affair: it went on after what was settled in its middle.
    expect(receipt.consumed).toBeGreaterThan(settled)
    await runner?.round({ all: true })
    // To the atomic unit: its payer has left an exact voucher behind.
    expect((await local.balanceOf(local.seller.address)) - before).toBe(receipt.consumed)
  } finally {
    await close()
  }
})

it('goes on after a silence in which it was settled, and pays nothing for that time', async () => {
  verifies(['T25', 'FS1-SILENCE'])
  const { network, rpcUrl } = local
  // Longer than a tick and a window of the route.
  const silence = 3500
  let speak = (): void => {}
  const { shop, runner, close } = await seller({
    async *source() {
      for (let at = 0; at < 120; at += 1) {
        yield `${at}`
        await new Promise<void>((resolve) => {
          if (at === 59) speak = resolve
          else setTimeout(resolve, 50)
        })
      }
    },
  })
  try {
    const before = await local.balanceOf(local.seller.address)
    const scheme = nonceVoucherClient({ network, rpcUrl, signer: local.buyer.privateKey })
    const wallet = streamWallet(createClient({ schemes: [scheme], budget: { perPayment: '$1', total: '$2' } }))
    const stream = await payStream({ wallet, url: `${shop.url}/live` })
    const began = performance.now()
    let [chunks, settled] = [0, 0n]
    for await (const _ of stream) {
      chunks += 1
      if (chunks !== 60) continue
      void (async () => {
        await new Promise((resolve) => setTimeout(resolve, silence))
        settled = (await runner?.round({ all: true }))?.settled ?? 0n
        speak()
      })()
    }
    const receipt = await stream.receipt
    expect([chunks, settled > 0n]).toEqual([120, true])
    // A cent for each second that flowed, and for the tick that the silence is worth.
    const flowed = performance.now() - began - silence
    expect(receipt.consumed).toBeLessThanOrEqual(BigInt(Math.ceil((flowed + 1500) * 10)))
    await runner?.round({ all: true })
    expect((await local.balanceOf(local.seller.address)) - before).toBe(receipt.consumed)
  } finally {
    await close()
  }
})
