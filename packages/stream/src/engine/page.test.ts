import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import type { Facilitator } from '@flow402x/core'
import type { PageVisit } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
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

const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

describe.each(Object.entries(mounts))('a page for people in %s', (_, mount) => {
  it('is shown to browsers with the offer in its headers; programs and payers never see it, and one that fails costs nobody the offer', async () => {
    verifies('FS1-PAGE')
    const visits: PageVisit[] = []
    const authorizer = privateKeySigner(chain.seller.privateKey)
    const rate = { serviceName: 'Live', description: 'A camera', mimeType: 'text/event-stream' }
    const page = async (visit: PageVisit) => {
      visits.push(visit)
      const { searchParams } = new URL(visit.url)
      if (searchParams.has('breaks')) throw new RangeError('the page broke')
      if (searchParams.has('file')) return { status: 200, headers: { 'Content-Type': 'text/css', 'Cache-Control': 'public' }, body: 'p{}' }
      const isPerson = visit.header('accept')?.includes('text/html')
      return isPerson ? { status: 402, headers: { 'Content-Type': 'text/html' }, body: '<p>pay' } : undefined
    }
    const shop = await openShop({ chain, facilitator, mount, rate, scheme: { authorizer }, streams: { page } })
    const shown = await shop.get(browser)
    expect([shown.status, shown.headers.get('content-type')?.split(';')[0], await shown.text()]).toEqual([402, 'text/html', '<p>pay'])
    expect(shown.headers.get('payment-required')).toBe((await shop.get({})).headers.get('payment-required'))
    const [visit] = visits
    expect(visit).toMatchObject({ resource: { ...rate, url: `${shop.url}/live` }, rate: { unit: 'second' } })
    expect(visit?.accepts.map(({ scheme }) => scheme)).toEqual(['batch-settlement'])
    const file = await shop.get({}, '?file')
    expect([file.status, file.headers.get('cache-control'), await file.text()]).toEqual([200, 'public', 'p{}'])
    const broken = await shop.get(browser, '?breaks')
    expect([broken.status, broken.headers.get('content-type')?.split(';')[0]]).toEqual([402, 'application/problem+json'])
    await broken.text()
    expect(shop.events).toContainEqual({ type: 'error', error: expect.objectContaining({ message: 'the page broke' }) })
    const asked = visits.length
    const refused = await shop.get({ ...browser, ...(await shop.paying((await shop.newPayer(0n)).voucher(1n))) })
    expect([refused.status, refused.headers.get('content-type')?.split(';')[0]]).toEqual([402, 'application/problem+json'])
    await refused.text()
    // Only what was asked without a payment, for the offer that the payment echoes.
    expect(visits.slice(asked).every(({ header }) => header('payment-signature') === undefined)).toBe(true)
    await shop.close()
  })
})
