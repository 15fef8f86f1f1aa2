import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { createClient, receiptOf, requestRefund } from '@flow402x/client'
import type { Channel, SettleResponse } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { decodePaymentResponseHeader } from '@x402/core/http'
import { toClientEvmSigner } from '@x402/evm'
import { BatchSettlementEvmScheme } from '@x402/evm/batch-settlement/client'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import { createPublicClient, createWalletClient, erc20Abi, http, maxUint256, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { network } from '../chains/evm.ts'
import { leaveTable } from '../table.ts'
import { serveChannelFacilitator } from './official-shop.ts'
import { type OurSale, type OurShop, openOurShop } from './our-shop.ts'

// Our server, paid over channels by both clients through both facilitators.

let chain: EvmChain
const closing: (() => Promise<void>)[] = []
const shops: OurShop[] = []
const rows: (readonly string[])[] = []
const urls = { ours: '', official: '' }

beforeAll(async () => {
  chain = await startEvmChain({ network, balances: accounts.map(({ address }) => ({ address, usdc: 1_000_000n, eth: parseEther('1') })) })
  const writer = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  // What the seller's own server asks for is all that comes to this facilitator.
  const receiverAuthorizer = { signer: chain.owner.privateKey, mayRefund: () => true }
  const facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain: writer, receiverAuthorizer })] })
  await facilitator.start()
  const [ours, official] = [await serveFacilitator(facilitator), await serveChannelFacilitator(chain)]
  urls.ours = ours.url
  urls.official = official.url
  closing.push(ours.close, official.close, () => facilitator.close())
})
afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.close())))
afterAll(async () => {
  leaveTable('5-channels-server', {
    title: 'x402 interop over channels: our server, paid by each client through each facilitator',
    head: ['', 'client', 'facilitator', 'binding', 'deposits by', 'claims signed by', 'calls', 'claimed and paid out'],
    rows,
    total: `${rows.length} combinations green`,
  })
  for (const close of closing) await close()
  await chain?.stop()
})

const price = 1000n
let buyers = 0
const accounts = Array.from({ length: 10 }, () => {
  const privateKey = generatePrivateKey()
  return { privateKey, address: privateKeyToAddress(privateKey) }
})

type Account = (typeof accounts)[number]
type Bought = { readonly status: number; readonly body: unknown; readonly receipt: SettleResponse | undefined }
type Buyer = { readonly account: Account; buy(at?: OurShop): Promise<Bought>; refund(): Promise<SettleResponse> }

async function open(sale: Omit<OurSale, 'price'>): Promise<OurShop> {
  const shop = await openOurShop(chain, { price: '$0.001', ...sale })
  shops.push(shop)
  return shop
}

/** An account of its own that has approved Permit2. */
async function newAccount(): Promise<Account> {
  const account = accounts[buyers++]
  if (account === undefined) throw new TypeError('no account is left')
  const wallet = createWalletClient({
    account: privateKeyToAccount(account.privateKey),
    chain: baseSepolia,
    transport: http(chain.rpcUrl),
  })
  const spender = chain.contracts.permit2
  await wallet.writeContract({ address: chain.usdc.address, abi: erc20Abi, functionName: 'approve', args: [spender, maxUint256] })
  return account
}

async function officialBuyer(shop: OurShop, known?: Account): Promise<Buyer> {
  const account = known ?? (await newAccount())
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  const scheme = new BatchSettlementEvmScheme(toClientEvmSigner(privateKeyToAccount(account.privateKey), reader))
  const pay = wrapFetchWithPayment(fetch, new x402Client().register(network, scheme))
  return {
    account,
    async buy(at = shop) {
      const response = await pay(`${at.url}/goods`)
      const header = response.headers.get('PAYMENT-RESPONSE')
      const receipt = header === null ? undefined : decodePaymentResponseHeader(header)
      return { status: response.status, body: await response.json(), receipt }
    },
    refund: () => scheme.refund(`${shop.url}/goods`),
  }
}

async function ourBuyer(shop: OurShop): Promise<Buyer> {
  const account = await newAccount()
  const store = memoryStore()
  const reader = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [account.privateKey] })
  const scheme = batchSettlementClient({ signer: privateKeySigner(account.privateKey), store, chains: [reader] })
  const client = createClient({ schemes: [scheme], store })
  return {
    account,
    async buy(at = shop) {
      const response = await client.fetch(`${at.url}/goods`)
      return { status: response.status, body: await response.json(), receipt: receiptOf(response) }
    },
    refund: () => requestRefund(`${shop.url}/goods`, { schemes: [scheme] }),
  }
}

async function onlyRow({ store }: OurShop): Promise<Channel> {
  for await (const channel of store.channels.list({ side: 'receiver' })) return channel
  throw new TypeError('no channel was opened')
}

const cells = [
  { client: 'official', facilitator: 'ours', binding: 'Express', assetTransferMethod: 'eip3009', delegated: false },
  { client: 'official', facilitator: 'ours', binding: 'Hono', assetTransferMethod: 'permit2', delegated: true },
  { client: 'official', facilitator: 'official', binding: 'Hono', assetTransferMethod: 'eip3009', delegated: false },
  { client: 'official', facilitator: 'official', binding: 'Express', assetTransferMethod: 'permit2', delegated: false },
  { client: 'ours', facilitator: 'ours', binding: 'Hono', assetTransferMethod: 'eip3009', delegated: true },
  { client: 'ours', facilitator: 'ours', binding: 'Express', assetTransferMethod: 'permit2', delegated: false },
  { client: 'ours', facilitator: 'official', binding: 'Express', assetTransferMethod: 'eip3009', delegated: false },
] as const

describe.each(cells)(
  '$client client, our $binding server, $facilitator facilitator, $assetTransferMethod, delegated: $delegated',
  (cell) => {
    it('a deposit, vouchers, a handler that fails, a top-up, claims, and the rest back: all say the same', async () => {
      verifies(['EVM-CHANNEL', 'H15', 'M27'])
      const shop = await open({ ...cell, facilitatorUrl: urls[cell.facilitator] })
      const { account, buy, refund } = await (cell.client === 'ours' ? ourBuyer : officialBuyer)(shop)
      const [held, earned] = [await chain.balanceOf(account.address), await chain.balanceOf(chain.seller.address)]
      let run = 0
      const deposits: string[] = []
      for (let call = 1; call <= 12; call += 1) {
        if (call === 3) {
          shop.fail(1)
          run += 1
          expect(await buy()).toMatchObject({ status: 500, body: { run } })
        }
        const { status, body, receipt } = await buy()
        run += 1
        expect({ status, body, success: receipt?.success }).toEqual({ status: 200, body: { run }, success: true })
        expect(receipt?.extra).toMatchObject({
          chargedAmount: `${price}`,
          channelState: { chargedCumulativeAmount: `${BigInt(call) * price}` },
        })
        if (receipt !== undefined && receipt.transaction !== '') deposits.push(receipt.transaction)
      }
      expect(deposits).toHaveLength(2)
      expect(await shop.server.collect()).toEqual([{ led: true, claimed: 1, settled: 12n * price }])
      expect((await chain.balanceOf(chain.seller.address)) - earned).toBe(12n * price)
      const back = await refund()
      const left = 20n * price - 12n * price
      expect(back).toMatchObject({ success: true, amount: `${left}` })
      expect(held - (await chain.balanceOf(account.address))).toBe(12n * price)
      expect(await onlyRow(shop)).toMatchObject({
        charged: 12n * price,
        refunding: 0n,
        funds: { claimed: 12n * price, balance: 12n * price },
      })
      expect((await buy()).status).toBe(200)
      rows.push([
        '✓',
        cell.client,
        cell.facilitator,
        cell.binding,
        cell.assetTransferMethod,
        cell.delegated ? 'facilitator' : 'seller',
        '12',
        `${12n * price}`,
      ])
    })
  },
)

it('an official client that lost its books, and a server that lost its own, find each other again', async () => {
  verifies('H15')
  const shop = await open({ facilitatorUrl: urls.ours })
  const first = await officialBuyer(shop)
  for (let call = 0; call < 3; call += 1) expect((await first.buy()).status).toBe(200)
  const again = await officialBuyer(shop, first.account)
  expect(await again.buy()).toMatchObject({
    status: 200,
    receipt: { extra: { channelState: { chargedCumulativeAmount: `${4n * price}` } } },
  })
  expect(await shop.server.collect()).toMatchObject([{ claimed: 1, settled: 4n * price }])
  await again.buy()
  // What was not claimed when the books were lost is the payer's; from there on all is charged.
  const anew = await open({ facilitatorUrl: urls.ours })
  expect(await again.buy(anew)).toMatchObject({
    status: 200,
    receipt: { extra: { channelState: { chargedCumulativeAmount: `${6n * price}` } } },
  })
  expect(await anew.server.collect()).toMatchObject([{ claimed: 1, settled: price }])
})

it('many calls of our client at once over one channel are each served and charged once', async () => {
  verifies('H15')
  const shop = await open({ facilitatorUrl: urls.ours })
  const { buy } = await ourBuyer(shop)
  expect((await buy()).status).toBe(200)
  const answers = await Promise.all(Array.from({ length: 8 }, () => buy()))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect([shop.runs(), (await onlyRow(shop)).charged]).toEqual([9, 9n * price])
})
