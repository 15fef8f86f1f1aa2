import { batchSettlementClient, type PayerChannelEvent, privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { type Client, createClient, receiptOf, requestRefund } from '@flow402x/client'
import type { Channel } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { createWalletClient, erc20Abi, http, maxUint256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { network } from '../chains/evm.ts'
import { leaveTable } from '../table.ts'
import type { Listening } from '../world.ts'
import { type OfficialSale, type OfficialShop, openOfficialShop, serveChannelFacilitator } from './official-shop.ts'

let chain: EvmChain
const facilitators = new Map<string, Listening>()
const shops: OfficialShop[] = []
const lines: (readonly string[])[] = []
beforeAll(async () => {
  chain = await startEvmChain({ network })
  facilitators.set('@x402/core', await serveChannelFacilitator(chain))
  const writer = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  const ours = createFacilitator({ schemes: [batchSettlementFacilitator({ chain: writer })] })
  await ours.start()
  const served = await serveFacilitator(ours)
  facilitators.set('ours', { url: served.url, close: () => served.close().then(() => ours.close()) })
})
afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.close())))
afterAll(async () => {
  leaveTable('5-channels-client', {
    title: 'x402 interop over channels: our client, official server, each facilitator',
    head: ['', 'facilitator', 'deposits by', 'calls', 'charged', 'given back'],
    rows: lines,
    total: `${lines.length} of 4 combinations green`,
  })
  for (const { close } of facilitators.values()) await close()
  await chain?.stop()
})

const price = 1000n

async function open(sale: Partial<OfficialSale> = {}, by = '@x402/core'): Promise<OfficialShop> {
  const facilitatorUrl = facilitators.get(by)?.url ?? ''
  const shop = await openOfficialShop(chain, { facilitatorUrl, price: '$0.001', ...sale })
  shops.push(shop)
  return shop
}

let buyers = 0

/** A buyer with a channel of his own, and his books; with `nth` he is that one again, without them. */
async function buyer({ sees = true, nth = buyers++ } = {}) {
  const account = chain.accounts[3 + (nth % 7)]
  if (account === undefined) throw new TypeError('no such account')
  const store = memoryStore()
  const events: PayerChannelEvent[] = []
  const reader = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [account.privateKey] })
  const scheme = batchSettlementClient({
    signer: privateKeySigner(account.privateKey),
    store,
    salt: `0x${nth.toString(16).padStart(64, '0')}`,
    onEvent: (event) => events.push(event),
    ...(sees ? { chains: [reader] } : {}),
  })
  const told: string[] = []
  const client = createClient({ schemes: [scheme], store, onEvent: ({ type }) => told.push(type) })
  const row = async (): Promise<Channel> => {
    for await (const channel of store.channels.list({ side: 'payer' })) return channel
    throw new TypeError('no channel was opened')
  }
  return { account, nth, client, scheme, events, told, row, reader }
}

const buy = async (client: Client, { url }: OfficialShop) => {
  const response = await client.fetch(`${url}/goods`)
  return { status: response.status, body: await response.json(), receipt: receiptOf(response) }
}

/** What client, server and chain say at the end: each the same. */
async function expectAgreement(shop: OfficialShop, row: () => Promise<Channel>, charged: bigint): Promise<void> {
  const earned = await chain.balanceOf(chain.seller.address)
  const books = await row()
  const [kept] = await shop.storage.list()
  expect({ client: books.charged, server: kept?.chargedCumulativeAmount }).toEqual({ client: charged, server: `${charged}` })
  await shop.manager.claimAndSettle()
  await vi.waitFor(async () => expect((await chain.balanceOf(chain.seller.address)) - earned).toBe(charged))
}

describe.each([
  ['@x402/core', 'eip3009'],
  ['@x402/core', 'permit2'],
  ['ours', 'eip3009'],
  ['ours', 'permit2'],
] as const)('our client pays the official server, behind the facilitator of %s, over a channel filled by %s', (by, assetTransferMethod) => {
  it('one deposit, then vouchers, a top-up without a gap, and a refund of the rest', async () => {
    verifies(['M20', 'H15', 'CHANNEL-EXIT'])
    const shop = await open({ assetTransferMethod }, by)
    const { client, scheme, account, events, row } = await buyer()
    if (assetTransferMethod === 'permit2') await approvePermit2(account.privateKey)
    const before = await chain.balanceOf(account.address)
    for (let call = 1; call <= 12; call += 1) {
      expect(await buy(client, shop)).toMatchObject({ status: 200, body: { run: call }, receipt: { success: true } })
    }
    const deposits = events.filter(({ type }) => type === 'deposited')
    expect(deposits).toHaveLength(2)
    expect(before - (await chain.balanceOf(account.address))).toBe(20n * price)
    await expectAgreement(shop, row, 12n * price)
    const receipt = await requestRefund(`${shop.url}/goods`, { schemes: [scheme] })
    expect(receipt).toMatchObject({ success: true, amount: `${8n * price}` })
    expect(before - (await chain.balanceOf(account.address))).toBe(12n * price)
    expect(await row()).toMatchObject({ charged: 12n * price, funds: { balance: 12n * price, claimed: 12n * price, refundNonce: 1n } })
    await expect(requestRefund(`${shop.url}/goods`, { schemes: [scheme] })).rejects.toMatchObject({ code: 'client/nothing-to-refund' })
    expect(await buy(client, shop)).toMatchObject({ status: 200, body: { run: 13 } })
    expect(before - (await chain.balanceOf(account.address))).toBe(22n * price)
    lines.push(['✓', by, assetTransferMethod, '13', '0.013 USDC', '0.008 USDC'])
  })
})

it('many calls at once over one channel are each paid once, although the server takes one at a time', async () => {
  verifies('H15')
  const shop = await open()
  const { client, row, told } = await buyer()
  const answers = await Promise.all(Array.from({ length: 8 }, () => buy(client, shop)))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect(shop.runs()).toBe(8)
  expect(told.filter((type) => type === 'paid')).toHaveLength(8)
  await expectAgreement(shop, row, 8n * price)
})

it('a handler that failed is not charged, and its stretch is signed again', async () => {
  const shop = await open()
  const { client, row } = await buyer()
  expect((await buy(client, shop)).status).toBe(200)
  shop.fail(2)
  expect([(await buy(client, shop)).status, (await buy(client, shop)).status]).toEqual([500, 500])
  expect((await buy(client, shop)).status).toBe(200)
  expect((await row()).top).toBe(2n * price)
  await expectAgreement(shop, row, 2n * price)
})

it('books that were lost are found again by the chain and by a voucher of our own', async () => {
  verifies('H15')
  const shop = await open()
  const first = await buyer()
  for (let call = 0; call < 3; call += 1) await buy(first.client, shop)
  const again = await buyer({ nth: first.nth })
  expect(await buy(again.client, shop)).toMatchObject({ status: 200, body: { run: 4 } })
  expect(again.told).toContain('corrected')
  expect(again.events.map(({ type }) => type)).toEqual(['drew'])
  await expectAgreement(shop, again.row, 4n * price)
})

it('books that were lost are found again where no chain can be asked', async () => {
  verifies('H15')
  const shop = await open()
  const first = await buyer({ sees: false })
  for (let call = 0; call < 3; call += 1) await buy(first.client, shop)
  const again = await buyer({ nth: first.nth, sees: false })
  expect(await buy(again.client, shop)).toMatchObject({ status: 200, body: { run: 4 } })
  expect(await buy(again.client, shop)).toMatchObject({ status: 200, body: { run: 5 } })
  await expectAgreement(shop, again.row, 5n * price)
})

it('a server that lost its books goes on from what the payer signs', async () => {
  const shop = await open()
  const { client, row } = await buyer()
  for (let call = 0; call < 3; call += 1) await buy(client, shop)
  const { id } = await row()
  await shop.storage.updateChannel(id, () => undefined)
  expect(await buy(client, shop)).toMatchObject({ status: 200, body: { run: 4 } })
  await expectAgreement(shop, row, 4n * price)
})

async function approvePermit2(privateKey: `0x${string}`): Promise<void> {
  const account = privateKeyToAccount(privateKey)
  const wallet = createWalletClient({ account, chain: baseSepolia, transport: http(chain.rpcUrl) })
  const spender = chain.contracts.permit2
  await wallet.writeContract({ address: chain.usdc.address, abi: erc20Abi, functionName: 'approve', args: [spender, maxUint256] })
}
