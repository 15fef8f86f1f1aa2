import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { createClient, requestRefund } from '@flow402x/client'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { decodePaymentResponseHeader } from '@x402/core/http'
import { toClientEvmSigner } from '@x402/evm'
import { BatchSettlementEvmScheme } from '@x402/evm/batch-settlement/client'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import { createPublicClient, createWalletClient, erc20Abi, type Hex, http, maxUint256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { network } from '../chains/evm.ts'
import { leaveTable } from '../table.ts'
import { type OfficialSale, type OfficialShop, openOfficialShop } from './official-shop.ts'

// The official server and its clients, and our facilitator between them: nobody notices, on the wire or on the chain.

let chain: EvmChain
const closing: (() => Promise<void>)[] = []
const shops: OfficialShop[] = []
const rows: (readonly string[])[] = []
let url = ''

beforeAll(async () => {
  chain = await startEvmChain({ network })
  const writer = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  // What the seller's own server asks for is all that comes to this facilitator.
  const receiverAuthorizer = { signer: chain.owner.privateKey, mayRefund: () => true }
  const facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain: writer, receiverAuthorizer })] })
  await facilitator.start()
  const served = await serveFacilitator(facilitator)
  url = served.url
  closing.push(served.close, () => facilitator.close())
})
afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.close())))
afterAll(async () => {
  leaveTable('4-channels-facilitator', {
    title: 'x402 interop over channels: each client, the official server, our facilitator',
    head: ['', 'client', 'deposits by', 'claims signed by', 'calls', 'transactions', 'gas per call'],
    rows,
    total: `${rows.length} combinations green`,
  })
  for (const close of closing) await close()
  await chain?.stop()
})

const price = 1000n
let buyers = 3

async function open(sale: Partial<OfficialSale>): Promise<OfficialShop> {
  const shop = await openOfficialShop(chain, { facilitatorUrl: url, price: '$0.001', ...sale })
  shops.push(shop)
  return shop
}

/** A buyer of either house with an account of his own, who has approved Permit2. */
async function buyer(house: 'official' | 'ours' = 'official') {
  const account = chain.accounts[buyers++]
  if (account === undefined) throw new TypeError('no account is left')
  const signer = privateKeyToAccount(account.privateKey)
  const transport = http(chain.rpcUrl)
  const wallet = createWalletClient({ account: signer, chain: baseSepolia, transport })
  const spender = chain.contracts.permit2
  await wallet.writeContract({ address: chain.usdc.address, abi: erc20Abi, functionName: 'approve', args: [spender, maxUint256] })
  const { pay, refund } = house === 'ours' ? ourClient(account.privateKey) : officialClient(account.privateKey)
  const buy = async (shop: OfficialShop) => {
    const response = await pay(`${shop.url}/goods`)
    const header = response.headers.get('PAYMENT-RESPONSE')
    return {
      status: response.status,
      body: await response.json(),
      receipt: header === null ? undefined : decodePaymentResponseHeader(header),
    }
  }
  return { account, buy, refund }
}

function officialClient(privateKey: Hex) {
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  const scheme = new BatchSettlementEvmScheme(toClientEvmSigner(privateKeyToAccount(privateKey), reader))
  const pay = wrapFetchWithPayment(fetch, new x402Client().register(network, scheme))
  return { pay: (to: string) => pay(to), refund: (of: string) => scheme.refund(of) }
}

function ourClient(privateKey: Hex) {
  const store = memoryStore()
  const reader = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [privateKey] })
  const scheme = batchSettlementClient({ signer: privateKeySigner(privateKey), store, chains: [reader] })
  const client = createClient({ schemes: [scheme], store })
  return { pay: (to: string) => client.fetch(to), refund: (of: string) => requestRefund(of, { schemes: [scheme] }) }
}

/** Who sent transactions of ours, and what they cost. */
async function spent(hashes: readonly string[]): Promise<{ readonly senders: ReadonlySet<string>; readonly gas: bigint }> {
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  const receipts = await Promise.all(hashes.map((hash) => reader.getTransactionReceipt({ hash: `0x${hash.slice(2)}` })))
  return { senders: new Set(receipts.map(({ from }) => from.toLowerCase())), gas: receipts.reduce((sum, { gasUsed }) => sum + gasUsed, 0n) }
}

const cells = [
  { client: 'official', assetTransferMethod: 'eip3009', delegated: false },
  { client: 'official', assetTransferMethod: 'eip3009', delegated: true },
  { client: 'official', assetTransferMethod: 'permit2', delegated: false },
  { client: 'official', assetTransferMethod: 'permit2', delegated: true },
  { client: 'ours', assetTransferMethod: 'eip3009', delegated: true },
  { client: 'ours', assetTransferMethod: 'permit2', delegated: false },
] as const

describe.each(cells)('$client client, channel filled by $assetTransferMethod, delegated: $delegated', (cell) => {
  const { client, assetTransferMethod, delegated } = cell
  it('is opened, drawn on, topped up, claimed, paid out and given back', async () => {
    verifies(['EVM-CHANNEL', 'H15', 'M27'])
    const shop = await open({ assetTransferMethod, delegated })
    const { account, buy, refund: ask } = await buyer(client)
    const [held, earned] = [await chain.balanceOf(account.address), await chain.balanceOf(chain.seller.address)]
    const transactions: string[] = []
    for (let call = 1; call <= 12; call += 1) {
      const { status, body, receipt } = await buy(shop)
      expect({ status, body, success: receipt?.success }).toEqual({ status: 200, body: { run: call }, success: true })
      expect(receipt?.extra).toMatchObject({
        chargedAmount: `${price}`,
        channelState: { chargedCumulativeAmount: `${BigInt(call) * price}` },
      })
      if (receipt !== undefined && receipt.transaction !== '') transactions.push(receipt.transaction)
    }
    // It was advised to bring ten calls' worth: one deposit to begin with, and one for what comes after.
    expect(transactions).toHaveLength(2)
    const { claims, settle } = await shop.manager.claimAndSettle()
    expect(claims).toHaveLength(1)
    transactions.push(...claims.map(({ transaction }) => transaction), settle?.transaction ?? '')
    expect((await chain.balanceOf(chain.seller.address)) - earned).toBe(12n * price)

    const refund = await ask(`${shop.url}/goods`)
    expect(refund).toMatchObject({ success: true, amount: `${8n * price}`, payer: account.address })
    expect(held - (await chain.balanceOf(account.address))).toBe(12n * price)
    transactions.push(refund.transaction)

    const { senders, gas } = await spent(transactions)
    expect(senders).toEqual(new Set([chain.facilitator.address.toLowerCase()]))
    rows.push([
      '✓',
      client,
      assetTransferMethod,
      delegated ? 'our facilitator' : 'the seller',
      '12',
      `${transactions.length}`,
      `${gas / 12n}`,
    ])
  })
})

it('an official seller hears what the specification says when there is nothing to be had, and claims nothing twice', async () => {
  const shop = await open({})
  const { account, buy } = await buyer()
  expect((await buy(shop)).status).toBe(200)
  const held = await chain.balanceOf(account.address)
  await expect(shop.manager.settle()).rejects.toThrow(/nothing_to_settle|nothing to settle/i)
  expect(await shop.manager.claim()).toHaveLength(1)
  expect(await shop.manager.claim()).toEqual([])
  expect(await shop.manager.settle()).toMatchObject({ transaction: expect.stringMatching(/^0x/) })
  expect(await chain.balanceOf(account.address)).toBe(held)
})
