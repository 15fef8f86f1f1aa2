import { setTimeout as wait } from 'node:timers/promises'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import { payStream } from './pay-stream.ts'

const ground = useGround(channelFacilitator)

const rate = { tick: 0.2, window: 0.6, windowMax: 0.6, buy: 1 }
const perSecond = 10_000n
const window = (6n * perSecond) / 10n

const openShop = (patience = {}) => {
  const scheme = { authorizer: privateKeySigner(ground.chain.seller.privateKey) }
  return ground.open({ rate, scheme, streams: { ticksPerSecond: 1000, patience } })
}

/** What a network does to a tick: its copies arrive, early or late, and its answer does, or none of that. */
type Mischief = 'fine' | 'twice' | 'late' | 'again later' | 'request lost' | 'answer lost' | 'answer late'

/** A network that does to each tick what is next of these, again and again. */
function network(plan: readonly Mischief[]) {
  const late: Promise<unknown>[] = []
  const statuses: number[] = []
  let ticks = 0
  const send: typeof fetch = async (input, init) => {
    const isTick = init?.method === 'POST' && typeof init.body === 'string' && init.body.includes('"voucher"')
    if (!isTick) return await fetch(input, init)
    const does = plan[ticks % plan.length]
    ticks += 1
    if (does === 'request lost') throw new TypeError('fetch failed')
    if (does === 'late') await wait(150)
    const copy = async (ms: number) => {
      await wait(ms)
      statuses.push((await fetch(input, init)).status)
    }
    if (does === 'twice') late.push(copy(0))
    if (does === 'again later') late.push(copy(700))
    const answer = await fetch(input, init)
    if (does === 'answer late') await wait(250)
    if (does !== 'answer lost') return answer
    await answer.body?.cancel()
    throw new TypeError('fetch failed')
  }
  return { fetch: send, over: () => Promise.all(late), statuses, ticks: () => ticks }
}

describe('a network that does what it likes to ticks', () => {
  const plans: [name: string, plan: readonly Mischief[]][] = [
    ['sends them twice, and once more when they are old', ['twice', 'again later', 'fine']],
    ['loses them, or their answers', ['answer lost', 'fine', 'request lost', 'answer lost']],
    ['delays them, and what is said to them', ['late', 'answer late', 'fine']],
    ['does all of that', ['twice', 'answer lost', 'late', 'again later', 'request lost', 'answer late']],
  ]

  it.each(plans)('%s: nothing is paid twice, nothing is delivered unpaid, and both books end alike', async (_, plan) => {
    verifies(['F3', 'F8', 'T2'])
    const shop = await openShop()
    const line = network(plan)
    const buyer = newBuyer(ground.chain, { fetch: line.fetch })
    const stream = await payStream({ wallet: buyer.wallet, url: `${shop.url}/live` })
    let chunks = 0
    for await (const _ of stream) {
      chunks += 1
      const { consumed, signed } = stream.standing()
      expect(signed - consumed).toBeLessThanOrEqual(window + perSecond / 10n)
      if (chunks === 40) break
    }
    const { consumed } = await stream.receipt
    await line.over()
    // What came late was either known already or refused: it opened and raised nothing.
    expect(line.statuses.filter((status) => status !== 200 && status !== 409 && status !== 410)).toEqual([])
    expect([chunks, line.ticks() > 5]).toEqual([40, true])
    const [sold, paid] = [await rowOf(shop.store, 'receiver'), await buyer.payerRow()]
    expect([sold?.charged, sold?.lanes, paid?.charged]).toEqual([consumed, undefined, consumed])
    // What was under way as the lane closed never came.
    const unheard = (paid?.top ?? 0n) - (sold?.top ?? 0n)
    expect([unheard >= 0n, unheard <= window]).toEqual([true, true])
    expect(consumed > perSecond).toBe(true)
  })
})

it('answers that open lanes and are lost cost what was given meanwhile, less than a window each, and the next lane opens above them', async () => {
  verifies(['F1', 'F8', 'M26'])
  const shop = await openShop({ detached: 200 })
  let loses = 3
  const lossy: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    const isPaid = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined)).has('payment-signature')
    if (!isPaid || loses === 0) return answer
    loses -= 1
    await answer.body?.cancel()
    throw new TypeError('fetch failed')
  }
  const buyer = newBuyer(ground.chain, { fetch: lossy })
  const options = { wallet: buyer.wallet, url: `${shop.url}/live`, units: '1' }
  for (let tries = 0; tries < 3; tries += 1) await expect(payStream(options)).rejects.toThrow()
  await expect.poll(async () => (await rowOf(shop.store, 'receiver'))?.lanes, { timeout: 10_000 }).toBeUndefined()
  const before = (await rowOf(shop.store, 'receiver'))?.charged ?? 0n
  const stream = await payStream(options)
  for await (const _ of stream);
  const { consumed, signed } = await stream.receipt
  expect([consumed > perSecond / 2n, consumed <= signed, signed]).toEqual([true, true, perSecond])
  const [sold, paid] = [await rowOf(shop.store, 'receiver'), await buyer.payerRow()]
  expect(sold?.charged).toBe(before + consumed)
  // Of the lost ones the seller gave a moment each before he saw that nobody listens.
  expect(before <= 3n * window).toBe(true)
  // Nobody told this side of that: it learns of it when it is claimed, and until then signs no less for it.
  expect([paid?.charged, paid?.top]).toEqual([consumed, sold?.top])
})
