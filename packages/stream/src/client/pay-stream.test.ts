import { streamWallet } from '@flow402x/client'
import { formatDecimal, fromAtomic } from '@flow402x/core'
import { costOf, oneUnit, type StreamTerms } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { quickTerms, streamStage } from '../fixtures/rail-seller.ts'
import { type PayStreamOptions, payStream, type StreamChunk, type StreamEvent } from './pay-stream.ts'

let stage: Awaited<ReturnType<typeof streamStage>>
beforeAll(async () => {
  stage = await streamStage()
})
afterAll(() => stage?.close())

const { rate, window, tick } = quickTerms
const ahead = costOf(rate, window)
const tokens: StreamTerms = {
  ...quickTerms,
  unit: 'token',
  clock: 'media',
  rate: { numerator: 1n, denominator: 10n },
  buy: 5000n * oneUnit,
  tick: 500n * oneUnit,
  window: 1000n * oneUnit,
  windowMax: 4000n * oneUnit,
}

/** Reads a stream to its end, or for so many chunks. */
async function read(options: PayStreamOptions, most = Number.POSITIVE_INFINITY) {
  const events: StreamEvent[] = []
  const stream = await payStream({ ...options, onEvent: (event) => events.push(event) })
  const chunks: StreamChunk[] = []
  for await (const chunk of stream) if (chunks.push(chunk) >= most) break
  return { stream, chunks, events, receipt: await stream.receipt }
}

describe('a stream that is paid while it is read', () => {
  it('is never signed for beyond what came and one window, and both sides and the budget count the same at its end', async () => {
    verifies(['T2', 'M29'])
    const seller = await stage.openSeller(quickTerms)
    const buyer = stage.openBuyer()
    const { stream, chunks, receipt } = await read({ wallet: buyer.wallet, url: seller.url, units: '2' })
    const [lane] = seller.lanes
    expect([stream.grade, receipt.chunks, chunks.length > 10]).toEqual(['B', chunks.length, true])
    expect(lane?.samples.filter((sample) => sample.ahead > ahead)).toEqual([])
    expect([receipt.consumed, receipt.signed <= costOf(rate, 2n * oneUnit)]).toEqual([lane?.used, true])
    expect([(await buyer.row()).charged, (await seller.row()).charged]).toEqual([receipt.consumed, receipt.consumed])
    expect((await buyer.row()).top).toBe((await seller.row()).top)
    const { total } = await buyer.client.spent()
    expect([total.committed, total.reserved]).toEqual([`$${formatDecimal(fromAtomic(receipt.consumed, 6))}`, '$0'])
  })

  it('pays tokens below one atomic unit exactly, by its server’s count, while they come', async () => {
    verifies('T3')
    const seller = await stage.openSeller(tokens)
    const buyer = stage.openBuyer({ account: 4 })
    const { receipt } = await read({ wallet: buyer.wallet, url: seller.url }, 2500)
    const [lane] = seller.lanes
    expect([receipt.chunks, receipt.consumed]).toEqual([2500, lane?.used])
    expect(lane?.used).toBe(costOf(tokens.rate, lane?.units ?? 0n))
    expect(lane?.samples.filter((sample) => sample.ahead > costOf(tokens.rate, tokens.window))).toEqual([])
  })

  it('opens again above all that was signed, with the credit that was left, and pays no more for it', async () => {
    verifies('M26')
    const seller = await stage.openSeller(quickTerms)
    const buyer = stage.openBuyer({ account: 5 })
    const first = await read({ wallet: buyer.wallet, url: seller.url }, 3)
    const top = (await buyer.row()).top
    expect(top).toBe(ahead)
    const second = await read({ wallet: buyer.wallet, url: seller.url }, 3)
    const row = await buyer.row()
    expect([row.charged, (await seller.row()).charged]).toEqual([first.receipt.consumed + second.receipt.consumed, row.charged])
    expect(row.top).toBe(first.receipt.consumed + ahead)
    expect(seller.lanes.length).toBe(2)
  })

  it('tops its channel up before it is empty, and no chunk waits for that', async () => {
    verifies('T9')
    // A busy machine may need a second for a deposit.
    const calm = { ...quickTerms, rate: { numerator: 40_000n, denominator: 1n }, tick: oneUnit / 2n, window: (3n * oneUnit) / 2n }
    const seller = await stage.openSeller(calm, { minDeposit: '$0.2' })
    const buyer = stage.openBuyer({ account: 6, deposits: { maxDeposit: '$20' } })
    const { events } = await read({ wallet: buyer.wallet, url: seller.url }, 140)
    expect(buyer.events.filter(({ type }) => type === 'deposited').length).toBeGreaterThan(1)
    expect(events.filter(({ t }) => t === 'gated')).toEqual([])
  })

  it('comes back on another connection after a cut, in the same lane, and pays nothing twice', async () => {
    verifies(['F1', 'M25'])
    const seller = await stage.openSeller(quickTerms, { cutsAfter: 8 })
    const buyer = stage.openBuyer({ account: 7 })
    const { chunks, events, receipt } = await read({ wallet: buyer.wallet, url: seller.url }, 25)
    expect(events.filter(({ t }) => t === 'resumed').length).toBe(1)
    expect([chunks.length, seller.lanes.length]).toEqual([25, 1])
    expect([receipt.consumed, (await buyer.row()).charged]).toEqual([seller.lanes[0]?.used, receipt.consumed])
  })

  it('stands still where it is paused: nothing is charged meanwhile', async () => {
    verifies('T6')
    const seller = await stage.openSeller(quickTerms)
    const buyer = stage.openBuyer({ account: 8 })
    const stream = await payStream({ wallet: buyer.wallet, url: seller.url })
    const reading = (async () => {
      let count = 0
      for await (const _ of stream) if (++count === 20) return
    })()
    await expect.poll(() => seller.lanes[0]?.chunks ?? 0).toBeGreaterThan(5)
    await stream.pause()
    const used = seller.lanes[0]?.used ?? 0n
    await new Promise((resolve) => setTimeout(resolve, 900))
    expect((seller.lanes[0]?.used ?? 0n) - used <= costOf(rate, oneUnit / 10n)).toBe(true)
    await stream.resume()
    await reading
    expect((await stream.receipt).consumed).toBe(seller.lanes[0]?.used)
  })

  it('stays paused where that was wanted last, though the word to go on was slower', async () => {
    verifies('T6')
    const seller = await stage.openSeller(quickTerms)
    const { wallet } = stage.openBuyer({ account: 8 })
    const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
    const send: typeof wallet.send = async (url, init) => {
      if (String(init?.body).includes('resume')) await rest(300)
      return await wallet.send(url, init)
    }
    const stream = await payStream({ wallet: { ...wallet, send }, url: seller.url })
    const reading = (async () => {
      for await (const _ of stream);
    })()
    await expect.poll(() => seller.lanes[0]?.chunks ?? 0).toBeGreaterThan(5)
    await stream.pause()
    await Promise.all([stream.resume(), stream.pause()])
    const [used, counted] = [seller.lanes[0]?.used ?? 0n, stream.standing().consumed]
    await rest(900)
    expect((seller.lanes[0]?.used ?? 0n) - used <= costOf(rate, oneUnit / 10n)).toBe(true)
    expect(stream.standing().consumed - counted <= costOf(rate, oneUnit / 10n)).toBe(true)
    await stream.close()
    await reading
  })

  it('ends where the budget does, with all that was paid delivered', async () => {
    verifies('FS1-CLIENT-BUDGET')
    const seller = await stage.openSeller(quickTerms)
    const buyer = stage.openBuyer({ account: 9, client: { budget: { total: '$0.1' } } })
    const spent: unknown = await read({ wallet: buyer.wallet, url: seller.url }).catch((error: unknown) => error)
    expect(spent).toMatchObject({ code: 'client/over-budget' })
    const [lane] = seller.lanes
    expect([(lane?.signed ?? 0n) <= 100_000n, (lane?.used ?? 0n) > 80_000n]).toEqual([true, true])
    const agreed = await read({ wallet: stage.openBuyer({ account: 9 }).wallet, url: seller.url, budget: '$0.08' })
    expect(agreed.receipt.signed <= 80_000n).toBe(true)
  })

  it('waits at the end of its budget where it is paused, and goes on where it is allowed more', async () => {
    verifies('FS1-CLIENT-ALLOW')
    const seller = await stage.openSeller(quickTerms, { minDeposit: '$5' })
    let cap = '$0.15'
    const buyer = stage.openBuyer({ account: 7, deposits: { maxDeposit: () => cap } })
    const stream = await payStream({ wallet: buyer.wallet, url: seller.url, budget: '$0.15' })
    const stood: bigint[] = []
    for await (const _ of stream) {
      if (stream.standing().signed < 150_000n || stood.length > 0) continue
      await stream.pause()
      // Longer than a stream is waited for that has nothing more to spend.
      await new Promise((resolve) => setTimeout(resolve, 1500))
      stood.push(stream.standing().signed, (await buyer.row()).funds.balance)
      cap = '$0.1'
      stream.allow('$0.22')
      await stream.resume()
    }
    const { signed, consumed } = await stream.receipt
    expect(stood).toEqual([150_000n, 150_000n])
    expect([signed > 150_000n, signed <= 220_000n, consumed > 150_000n, consumed <= signed]).toEqual([true, true, true, true])
    expect((await seller.row()).charged).toBe(consumed)
    expect(() => stream.allow('$1')).toThrow(expect.objectContaining({ code: 'stream/bad-option' }))
  })
})

describe('a channel that cannot be filled', () => {
  const small = { minDeposit: '$0.2' }
  const deposits = { maxDeposit: '$0.2' }

  it('is used to its last atomic unit, and then the stream says why it ends', async () => {
    verifies('FS1-CLIENT-REST')
    const seller = await stage.openSeller(quickTerms, small)
    const { mint, accounts } = stage.chain
    await mint(accounts[2]?.address ?? '0x', 200_000n)
    const buyer = stage.openBuyer({ account: 2 })
    await expect(read({ wallet: buyer.wallet, url: seller.url })).rejects.toMatchObject({ code: 'evm/channel-empty' })
    const [lane] = seller.lanes
    const row = await buyer.row()
    expect([row.top, (await seller.row()).top, row.charged]).toEqual([200_000n, 200_000n, lane?.used])
    expect((lane?.used ?? 0n) > 190_000n).toBe(true)
  })

  it('keeps nothing set aside for what could not be signed', async () => {
    verifies('FS1-CLIENT-REST')
    const seller = await stage.openSeller(quickTerms, small)
    const buyer = stage.openBuyer({ account: 5, deposits })
    const { lane } = await buyer.wallet.open(seller.url, {}, { window: () => window })
    const beyond = { used: 0n, window: 300_000n, least: 1n }
    for (let tries = 0; tries < 3; tries++) await expect(lane?.slide(beyond)).rejects.toMatchObject({ code: 'evm/channel-empty' })
    expect((await buyer.client.spent()).total).toMatchObject({ committed: '$0', reserved: '$0.06' })
    expect(await lane?.room()).toBe(140_000n)
    expect(await lane?.slide({ ...beyond, window: 200_000n })).toMatchObject({ maxClaimableAmount: 200_000n })
    expect((await buyer.client.spent()).total.reserved).toBe('$0.2')
    await lane?.close(50_000n)
    expect((await buyer.client.spent()).total).toMatchObject({ committed: '$0.05', reserved: '$0' })
  })
})

it('reads like any other loop', async () => {
  verifies('T2')
  const { url } = await stage.openSeller(quickTerms)
  const { client } = stage.openBuyer({ account: 8 })
  const shown: StreamChunk[] = []
  const show = (chunk: StreamChunk) => shown.push(chunk)
  const stream = await payStream({ wallet: streamWallet(client), url, units: '1', budget: '$1' })
  for await (const chunk of stream) show(chunk)
  const { units, consumed } = await stream.receipt
  expect([shown[0], Number(units) > 0.8, consumed <= 100_000n]).toEqual([{ event: 'message', data: '0', id: '' }, true, true])
})

describe('a seller who cheats', () => {
  // Who said that his clock stood says that less was used, and who lies about it says nothing that is believed.
  const open = `event: flow402x\ndata: ${JSON.stringify({ t: 'open', sid: 'A'.repeat(22), consumed: '1', charged: '1' })}\n\n`
  const wordless: [name: string, pings?: string][] = [
    ['is silent'],
    ['only pings', ':\n\n'],
    ['says again and again that it goes on', open],
  ]

  it.each(wordless)('gets one window and a tick where it %s, from a reader to whom nothing comes any more', async (_, pings) => {
    verifies(['T17', 'F6', 'FS1-SILENCE'])
    const seller = await stage.openSeller(quickTerms, { stallsAfter: 6, ...(pings !== undefined && { pings }) })
    const buyer = stage.openBuyer({ account: 3 })
    const stream = await payStream({ wallet: buyer.wallet, url: seller.url })
    let [last, count] = [0n, 0]
    const reading = (async () => {
      for await (const _ of stream) {
        last = seller.lanes[0]?.used ?? 0n
        count += 1
      }
    })()
    await expect.poll(() => count).toBe(6)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const signed = seller.lanes[0]?.signed ?? 0n
    expect(signed - last <= ahead + costOf(rate, tick)).toBe(true)
    await stream.close()
    await reading
    expect((await buyer.row()).top).toBe(signed)
  })

  it('is not believed where it counts more than was signed', async () => {
    verifies('T17')
    const seller = await stage.openSeller(quickTerms, { adds: 10_000_000n })
    const buyer = stage.openBuyer({ account: 4 })
    await expect(read({ wallet: buyer.wallet, url: seller.url }, 5)).rejects.toMatchObject({ code: 'stream/overcharged' })
  })

  it('gets nothing more where it refuses ticks, and the reader is told', async () => {
    verifies('FS1-CLIENT-TICKS')
    const seller = await stage.openSeller(quickTerms, { ticks: { status: 423, body: '' } })
    const buyer = stage.openBuyer({ account: 5 })
    await expect(read({ wallet: buyer.wallet, url: seller.url })).rejects.toMatchObject({ code: 'stream/tick-refused' })
    expect(seller.lanes[0]?.ticks).toBe(1)
    expect((await seller.row()).top <= ahead).toBe(true)
  })
})

describe('a payer who lost his books', () => {
  it('goes on from his own voucher, which the seller shows, and from nothing above it', async () => {
    verifies(['F2', 'T18'])
    const seller = await stage.openSeller(quickTerms)
    await read({ wallet: stage.openBuyer({ account: 6 }).wallet, url: seller.url }, 10)
    const before = await seller.row()
    const fresh = stage.openBuyer({ account: 6 })
    const { receipt } = await read({ wallet: fresh.wallet, url: seller.url }, 5)
    expect([receipt.chunks, (await fresh.row()).charged]).toEqual([5, (await seller.row()).charged])
    expect((await fresh.row()).top <= before.top + receipt.consumed + ahead).toBe(true)
  })

  it('signs nothing where the seller counts more as charged than it can show', async () => {
    verifies('T18')
    const seller = await stage.openSeller(quickTerms, { counts: 1_000_000n })
    await read({ wallet: stage.openBuyer({ account: 7 }).wallet, url: seller.url }, 10)
    const fresh = stage.openBuyer({ account: 7 })
    await expect(read({ wallet: fresh.wallet, url: seller.url })).rejects.toMatchObject({ code: 'evm/channel-disagrees' })
  })
})
