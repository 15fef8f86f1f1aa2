import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import type { Facilitator } from '@flow402x/core'
import type { PageVisit } from '@flow402x/core/page'
import { createFacilitator } from '@flow402x/facilitator'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { send } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mounts } from '../fixtures/mounts.ts'
import { openShop } from '../fixtures/stream-shop.ts'

let chain: EvmChain
let facilitator: Facilitator & { close(): Promise<void> }
beforeAll(async () => {
  chain = await startEvmChain()
  const writer = evmChain({ network: chain.network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain: writer })] })
})
afterAll(async () => {
  await facilitator?.close()
  await chain?.stop()
})

const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate' }
const typeOf = ({ headers }: Awaited<ReturnType<typeof send>>) => headers['content-type']?.[0]?.split(';')[0]

describe.each(Object.entries(mounts))('a page for people in %s', (_, mount) => {
  it('is shown to browsers with the offer in its headers; programs and payers never see it, and one that fails costs nobody the offer', async () => {
    verifies('FS1-PAGE')
    const visits: PageVisit[] = []
    const authorizer = privateKeySigner(chain.seller.privateKey)
    const rate = { serviceName: 'Live', description: 'A camera', mimeType: 'text/event-stream' }
    const page = {
      async show(visit: PageVisit) {
        visits.push(visit)
        if (visit.url.includes('breaks')) throw new RangeError('the page broke')
        return { status: 402, headers: { 'Content-Type': 'text/html' }, body: '<p>pay' }
      },
      async file(name: string) {
        const headers = { 'Content-Type': 'text/css', 'Cache-Control': 'public' }
        return name === 'a.css' ? { status: 200, headers, body: 'p{}' } : undefined
      },
    }
    const shop = await openShop({ chain, facilitator, mount, rate, scheme: { authorizer }, streams: { page } })
    const shown = await send(`${shop.url}/live`, { headers: browser })
    expect([shown.status, typeOf(shown), shown.body.toString()]).toEqual([402, 'text/html', '<p>pay'])
    expect(shown.headers['payment-required']?.[0]).toBe((await shop.get({})).headers.get('payment-required'))
    const [visit] = visits
    expect(visit).toMatchObject({ resource: { ...rate, url: `${shop.url}/live` }, rate: { unit: 'second' } })
    expect(visit?.accepts.map(({ scheme }) => scheme)).toEqual(['batch-settlement'])
    const file = await shop.get({}, '?flow402x-page=a.css')
    expect([file.status, file.headers.get('cache-control'), await file.text()]).toEqual([200, 'public', 'p{}'])
    const broken = await send(`${shop.url}/live?breaks`, { headers: browser })
    expect([broken.status, typeOf(broken)]).toEqual([402, 'application/problem+json'])
    expect(shop.events).toContainEqual({ type: 'error', error: expect.objectContaining({ message: 'the page broke' }) })
    const asked = visits.length
    const refused = await send(`${shop.url}/live`, {
      headers: { ...browser, ...(await shop.paying((await shop.newPayer(0n)).voucher(1n))) },
    })
    expect([refused.status, typeOf(refused)]).toEqual([402, 'application/problem+json'])
    expect(visits).toHaveLength(asked)
    await shop.close()
  })
})
