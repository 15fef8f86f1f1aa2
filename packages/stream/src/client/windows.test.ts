import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient, streamWallet } from '@flow402x/client'
import { oneUnit, paymentStreamHeader } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import { sseItems } from './lines.ts'
import { payStream } from './pay-stream.ts'

const ground = useGround(channelFacilitator)

// A token each ten milliseconds, for ten atomic units; a window is fifty of them.
const token = 10n
const [windowTokens, windowCost] = [50, 500n]
const rate = { rate: '0.00001 USD/token', buy: windowTokens, tick: 10, window: 20, windowMax: 100 }

async function shopOf() {
  const source = async function* ({ signal }: { readonly signal: AbortSignal }) {
    for (let at = 0; !signal.aborted; at += 1) {
      yield `${at}`
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const scheme = { authorizer: privateKeySigner(ground.chain.seller.privateKey) }
  const shop = await ground.open({ source, rate, scheme })
  return { ...shop, sold: async () => (await rowOf(shop.store, 'receiver')) ?? { charged: 0n, top: 0n } }
}

describe('a client that knows nothing of streams', () => {
  it('opens one, reads what each payment buys and no token more, and is given back what it left', async () => {
    verifies(['FS1-CLIENT-WINDOWS', 'T1', 'T11'])
    const shop = await shopOf()
    const { client, payerRow } = newBuyer(ground.chain)
    const tokens: string[] = []
    const read = async (response: Response) => {
      for await (const item of sseItems(response.body ?? new ReadableStream())) if ('chunk' in item) tokens.push(item.chunk.data)
    }
    const response = await client.fetch(`${shop.url}/live`)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/event-stream')])
    const reading = read(response).catch(() => {})
    const { sid = '', 'tick-url': tickUrl = '' } = paymentStreamHeader.decode(response.headers.get('Payment-Stream') ?? '')
    for (const windows of [1, 2, 3]) {
      if (windows > 1) {
        const ticked = await client.fetch(`${shop.url}${tickUrl}?sid=${sid}`, { method: 'POST' })
        expect([windows, ticked.status]).toEqual([windows, 204])
      }
      await expect.poll(() => tokens.length).toBe(windows * windowTokens)
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(tokens.length).toBe(windows * windowTokens)
    }
    expect((await shop.sold()).top).toBe(3n * windowCost)
    const once = await client.fetch(`${shop.url}${tickUrl}?sid=${sid}`, { method: 'POST' })
    expect(once.status).toBe(204)
    await expect.poll(() => tokens.length).toBeGreaterThan(3 * windowTokens + 5)
    const closed = await shop.post({ sid, op: 'close' })
    await reading
    const used = BigInt(String(closed.body.consumed))
    expect([used, used < 4n * windowCost, (await shop.sold()).charged]).toEqual([BigInt(tokens.length) * token, true, used])
    // One 402 tells of what came back, and the next payment begins there.
    const again = await client.fetch(`${shop.url}/live`)
    expect(again.status).toBe(200)
    await again.body?.cancel()
    const [seller, payer] = [await shop.sold(), await payerRow()]
    expect([seller.top, payer?.charged]).toEqual([used + windowCost, used + windowCost])
  })
})

describe('a wallet without vouchers that slide', () => {
  it('reads a stream by windows, each a payment by itself, and buys none that its reader has not come near', async () => {
    verifies('FS1-CLIENT-WINDOWS')
    const shop = await shopOf()
    const store = memoryStore()
    const { lanes: _, ...scheme } = batchSettlementClient({ signer: privateKeySigner(ground.chain.accounts[9]?.privateKey ?? '0x'), store })
    const client = createClient({ schemes: [scheme], store })
    const stream = await payStream({ wallet: streamWallet(client), url: `${shop.url}/live` })
    expect(stream.grade).toBe('A')
    let chunks = 0
    for await (const _chunk of stream) {
      chunks += 1
      const windows = BigInt(Math.ceil(chunks / windowTokens)) + 1n
      expect((await rowOf(store, 'payer'))?.top ?? 0n).toBeLessThanOrEqual(windows * windowCost)
      if (chunks === 120) break
    }
    const { consumed, signed } = await stream.receipt
    expect([signed, consumed >= 1200n, consumed <= signed, (await shop.sold()).charged]).toEqual([3n * windowCost, true, true, consumed])
  })

  it('buys as many windows as were agreed to', async () => {
    verifies('FS1-CLIENT-WINDOWS')
    const shop = await shopOf()
    const store = memoryStore()
    const { lanes: _, ...scheme } = batchSettlementClient({ signer: privateKeySigner(ground.chain.accounts[8]?.privateKey ?? '0x'), store })
    const stream = await payStream({
      wallet: streamWallet(createClient({ schemes: [scheme], store })),
      url: `${shop.url}/live`,
      units: '110',
    })
    let chunks = 0
    for await (const _chunk of stream) chunks += 1
    const { signed, units } = await stream.receipt
    expect([chunks, signed, units, stream.terms?.buy]).toEqual([100, 2n * windowCost, '100', BigInt(windowTokens) * oneUnit])
  })
})
