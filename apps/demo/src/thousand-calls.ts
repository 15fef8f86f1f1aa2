import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { batchSettlementClient, type PayerChannelEvent, privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { createClient } from '@flow402x/client'
import { formatAmount } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import type { Dev } from 'flow402x'
import * as z from 'zod/mini'

/** What a thousand calls cost: `gasOfOne` is what one call cost that was settled by itself. */
export type ThousandCalls = { readonly chain: Dev['chains'][number]; readonly gasOfOne: bigint; readonly say: (line: string) => void }

const calls = 1000
const atOnce = 20
const price = 1000n

/** One deposit, a thousand vouchers that cost nothing, and one claim of them all: printed with the gas of each call. */
export async function payThousandCalls({ chain, gasOfOne, say }: ThousandCalls): Promise<void> {
  const shop = await openShop(chain)
  const start = await blockOf(chain)
  const before = await balances(chain)
  const events: PayerChannelEvent[] = []
  const scheme = batchSettlementClient({
    signer: privateKeySigner(chain.buyer.privateKey),
    chains: [evmChain({ network: chain.network, rpcUrl: chain.rpcUrl, signers: [chain.buyer.privateKey] })],
    onEvent: (event) => events.push(event),
  })
  const client = createClient({ schemes: [scheme], budget: { total: '$1' } })
  try {
    say(`  buyer  schemes: [batchSettlementClient({ signer, chains, store })], a budget of $1 and a deposit beside it`)
    const started = performance.now()
    let answered = 0
    const work = async () => {
      while (answered < calls) {
        answered += 1
        const response = await client.fetch(shop.url)
        if (response.status !== 200) throw new Error(`a call was answered ${response.status}`)
        await response.text()
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    const seconds = (performance.now() - started) / 1000
    say(
      `  paid   ${calls.toLocaleString('en')} calls in ${seconds.toFixed(2)} s, ${Math.round(calls / seconds)} a second with the question before each`,
    )
    await shop.collect()
    const used = await transactionsSince(chain, start)
    const after = await balances(chain)
    const gas = used.reduce((sum, one) => sum + one.gas, 0n)
    for (const { what, gas: one, hash } of used) say(`  chain  ${what.padEnd(16)} ${one.toLocaleString('en')} gas in ${hash}`)
    say(
      `  gas    ${gas.toLocaleString('en')} in ${used.length} transactions: ${gas / BigInt(calls)} a call, where one settled by itself took ${gasOfOne.toLocaleString('en')}`,
    )
    const deposit = events.reduce((sum, event) => (event.type === 'deposited' ? sum + event.amount : sum), 0n)
    const drawn = events.reduce((sum, event) => (event.type === 'drew' ? sum + event.amount : sum), 0n)
    const usdc = (units: bigint) => formatAmount(units, { decimals: 6, symbol: 'USDC' })
    say(`  chain  buyer deposited ${usdc(deposit)} and drew ${usdc(drawn)}, seller +${usdc(after.seller - before.seller)}\n`)
    const due = price * BigInt(calls)
    if (drawn !== due || after.seller - before.seller !== due || before.buyer - after.buyer !== deposit || shop.runs() !== calls) {
      throw new Error('the books of the channel do not agree with the chain')
    }
  } finally {
    await shop.close()
  }
}

async function openShop(chain: ThousandCalls['chain']) {
  const { network, rpcUrl } = chain
  // The owner has ether and settles nowhere else, so no nonce is shared with the facilitator of the other scenes.
  const facilitator = createFacilitator({
    schemes: [batchSettlementFacilitator({ chain: evmChain({ network, rpcUrl, signers: [chain.owner.privateKey] }) })],
  })
  await facilitator.start()
  const store = memoryStore()
  const authorizer = privateKeySigner(chain.seller.privateKey)
  // A little more than the calls, so that the last of them does not bring the next deposit along.
  const scheme = batchSettlementServer({ network, payTo: chain.seller.address, rpcUrl, store, authorizer, minDeposit: '$1.01' })
  const server = createServer({ facilitator, store, schemes: [scheme], claimChannels: false })
  await server.start()
  let runs = 0
  const listener = paid(server, { price: '$0.001' }, (_, response) => {
    runs += 1
    response.end(`call ${runs}`)
  })
  const http = createHttp((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  const { port } = http.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/call`,
    runs: () => runs,
    collect: () => server.collect(),
    async close() {
      server.close()
      http.closeAllConnections()
      http.close()
      await facilitator.close()
    },
  }
}

const quantity = z.string()
const block = z.looseObject({ transactions: z.array(z.string()) })
const sent = z.looseObject({ gasUsed: z.string(), status: z.string() })
const called = z.looseObject({ input: z.string() })

async function blockOf({ rpc }: ThousandCalls['chain']): Promise<number> {
  return Number(z.parse(quantity, await rpc('eth_blockNumber')))
}

async function balances(chain: ThousandCalls['chain']) {
  return { buyer: await chain.balanceOf(chain.buyer.address), seller: await chain.balanceOf(chain.seller.address) }
}

const names: Readonly<Record<string, string>> = { '0x140f1e75': 'deposit', '0xac9650d8': 'claim and payout' }

/** Everything that was mined since a block: nobody else uses the chain during this scene. */
async function transactionsSince(chain: ThousandCalls['chain'], start: number) {
  const found: { readonly what: string; readonly gas: bigint; readonly hash: string }[] = []
  for (let number = start + 1; number <= (await blockOf(chain)); number += 1) {
    const { transactions } = z.parse(block, await chain.rpc('eth_getBlockByNumber', [`0x${number.toString(16)}`, false]))
    for (const hash of transactions) {
      const { input } = z.parse(called, await chain.rpc('eth_getTransactionByHash', [hash]))
      found.push({ what: names[input.slice(0, 10)] ?? 'call', gas: await gasOf(chain, hash), hash })
    }
  }
  return found
}

/** What a transaction used. */
export async function gasOf({ rpc }: Pick<ThousandCalls['chain'], 'rpc'>, hash: string): Promise<bigint> {
  return BigInt(z.parse(sent, await rpc('eth_getTransactionReceipt', [hash])).gasUsed)
}
