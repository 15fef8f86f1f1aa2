import { batchSettlementClient, type PayerChannelEvent, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { type Client, createClient, receiptOf } from '@flow402x/client'
import type { Channel } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { createWalletClient, erc20Abi, http, maxUint256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { network } from '../chains/evm.ts'
import type { Listening } from '../world.ts'
import { type OfficialSale, type OfficialShop, openOfficialShop, serveChannelFacilitator } from './official-shop.ts'

let chain: EvmChain
let facilitator: Listening
const shops: OfficialShop[] = []
beforeAll(async () => {
  chain = await startEvmChain({ network })
  facilitator = await serveChannelFacilitator(chain)
})
afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.close())))
afterAll(async () => {
  await facilitator?.close()
  await chain?.stop()
})

const price = 1000n

async function open(sale: Partial<OfficialSale> = {}): Promise<OfficialShop> {
  const shop = await openOfficialShop(chain, { facilitatorUrl: facilitator.url, price: '$0.001', ...sale })
  shops.push(shop)
  return shop
}

let buyers = 3

/** A buyer with an account of his own, and his books. */
async function buyer({ store = memoryStore(), sees = true, account = chain.accounts[buyers++] } = {}) {
  if (account === undefined) throw new TypeError('no account is left')
  const events: PayerChannelEvent[] = []
  const reader = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [account.privateKey] })
  const scheme = batchSettlementClient({
    signer: privateKeySigner(account.privateKey),
    store,
    onEvent: (event) => events.push(event),
    ...(sees ? { chains: [reader] } : {}),
  })
  const told: string[] = []
  const client = createClient({ schemes: [scheme], store, onEvent: ({ type }) => told.push(type) })
  const row = async (): Promise<Channel> => {
    for await (const channel of store.channels.list({ side: 'payer' })) return channel
    throw new TypeError('no channel was opened')
  }
  return { account, store, client, events, told, row, reader }
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

describe.each(['eip3009', 'permit2'] as const)('our client pays the official server over a channel filled by %s', (assetTransferMethod) => {
  it('one deposit, then vouchers, a top-up without a gap, and a refund of the rest', async () => {
    verifies(['M20', 'H15', 'CHANNEL-EXIT'])
    const shop = await open({ assetTransferMethod })
    const { client, account, events, row } = await buyer()
    if (assetTransferMethod === 'permit2') await approvePermit2(account.privateKey)
    const before = await chain.balanceOf(account.address)
    for (let call = 1; call <= 12; call += 1) {
      expect(await buy(client, shop)).toMatchObject({ status: 200, body: { run: call }, receipt: { success: true } })
    }
    const deposits = events.filter(({ type }) => type === 'deposited')
    expect(deposits).toHaveLength(2)
    expect(before - (await chain.balanceOf(account.address))).toBe(20n * price)
    await expectAgreement(shop, row, 12n * price)
    const receipt = await client.refund(`${shop.url}/goods`)
    expect(receipt).toMatchObject({ success: true, amount: `${8n * price}` })
    expect(before - (await chain.balanceOf(account.address))).toBe(12n * price)
    expect(await row()).toMatchObject({ charged: 12n * price, funds: { balance: 12n * price, claimed: 12n * price, refundNonce: 1n } })
    await expect(client.refund(`${shop.url}/goods`)).rejects.toMatchObject({ code: 'client/nothing-to-refund' })
    expect(await buy(client, shop)).toMatchObject({ status: 200, body: { run: 13 } })
    expect(before - (await chain.balanceOf(account.address))).toBe(22n * price)
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
  const again = await buyer({ account: first.account })
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
  const again = await buyer({ account: first.account, sees: false })
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
