import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { batchSettlementClient, evmReader, payerChannels, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { createClient } from '@flow402x/client'
import { parsePrice, toAtomic } from '@flow402x/core'
import { costOf, lesser, oneUnit } from '@flow402x/core/stream'
import { sqliteStore } from '@flow402x/store/sqlite'
import { startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, expect, it } from 'vitest'
import { rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator } from '../fixtures/ground.ts'
import type { ReaderNews, ReaderPlan } from '../fixtures/reader-process.ts'
import { openShop } from '../fixtures/stream-shop.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-readers-'))
const place = join(folder, 'books.db')
const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true })]
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const rate = { numerator: 10_000n, denominator: 1n }
const window = costOf(rate, 2n * oneUnit)

/** A real process that reads and pays. */
function startReader(plan: ReaderPlan): { readonly child: ChildProcess; readonly news: ReaderNews[]; readonly ended: Promise<void> } {
  const execArgv = ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')]
  const child = fork(fileURLToPath(new URL('../fixtures/reader-process.ts', import.meta.url)), [], { execArgv })
  closing.push(() => child.kill('SIGKILL'))
  const news: ReaderNews[] = []
  // It is what the process sends.
  child.on('message', (message) => news.push(message as ReaderNews))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.send(plan)
  return { child, news, ended }
}

it('kill -9 of a reader in mid-stream loses one window at most, and its books go on from where they stood to what the chain says', async () => {
  verifies(['F1', 'FS1-CLIENT-KILLED', 'M29'])
  const chain = await startEvmChain()
  closing.push(() => chain.stop())
  const { network, rpcUrl, seller } = chain
  const facilitator = await channelFacilitator(chain)
  closing.push(() => facilitator.close())
  const scheme = { authorizer: privateKeySigner(seller.privateKey) }
  const shop = await openShop({ chain, facilitator, scheme, streams: { patience: { detached: 200 } } })
  closing.push(() => shop.close())
  const plan = { place, key: chain.buyer.privateKey, network, rpcUrl, url: `${shop.url}/live` }

  /** The seller's books, once no lane lives any more. */
  const sold = async () => {
    await expect.poll(async () => (await rowOf(shop.store, 'receiver'))?.lanes).toBeUndefined()
    return (await rowOf(shop.store, 'receiver')) ?? { charged: 0n, top: 0n }
  }
  const paid = async () => {
    const store = sqliteStore(place)
    const row = await rowOf(store, 'payer')
    await store.close()
    return row ?? { charged: 0n, top: 0n }
  }
  /** What the budget of all of them counts (atomic), once nothing that a dead process left behind can be on its way any more. */
  const counted = async () => {
    const store = sqliteStore(place)
    const scheme = batchSettlementClient({ signer: privateKeySigner(plan.key), store, chains: [evmReader({ network, rpcUrl })] })
    const { total } = await createClient({ schemes: [scheme], store, now: () => Date.now() + 1_000_000 }).spent()
    await store.close()
    expect(total.reserved).toBe('$0')
    return toAtomic(parsePrice(total.committed).amount, 6)
  }
  /** One that is killed after so many chunks. */
  const die = async (chunks: number) => {
    const { child, news, ended } = startReader(plan)
    await expect.poll(() => news.length, { interval: 10 }).toBeGreaterThanOrEqual(chunks)
    child.kill('SIGKILL')
    await ended
    return { sold: await sold(), paid: await paid() }
  }

  const first = await die(15)
  expect([first.sold.charged > 0n, first.paid.top - first.sold.charged <= window]).toEqual([true, true])
  // The budget counts all that its voucher can be claimed for, and no more.
  expect(await counted()).toBe(first.paid.top)
  // The next one believes that the first still lives.
  const second = await die(35)
  expect([second.sold.charged > first.sold.charged, second.paid.top - second.sold.charged <= 2n * window]).toEqual([true, true])
  expect(await counted()).toBe(second.paid.top)

  // By then it does not.
  const heir = startReader({ ...plan, units: '1', later: 130_000 })
  await heir.ended
  const bill = heir.news.at(-1)
  const consumed = bill !== undefined && 'consumed' in bill ? BigInt(bill.consumed) : 0n
  const [last, payer] = [await sold(), await paid()]
  const given = last.charged - second.sold.charged
  // What a dead lane left is credit at its seller, who may give a moment more for it.
  expect([consumed > 0n, consumed]).toEqual([true, lesser(given, costOf(rate, oneUnit))])
  // This side counted it as spent, until the seller himself said that it was not: what was signed for it is signed again first.
  expect(payer).toMatchObject({ top: last.top, charged: last.charged, free: [{ from: last.charged, to: last.top }] })

  // No word of the seller's gives a budget back what he could claim: it counts what two dead processes had signed, and what the third used.
  const spent = await counted()
  expect(spent).toBe(second.paid.top + consumed)

  const third = await die(15)
  // What is signed again counts again: a death costs a budget what was signed ahead, and no more for any number of them.
  expect((await counted()) - third.sold.charged <= 4n * window).toBe(true)
  expect([third.paid.top > last.top, third.paid.top - third.sold.charged <= window]).toEqual([true, true])
  const before = await chain.balanceOf(seller.address)
  const runner = shop.scheme.vouchers?.runner({ facilitator })
  expect(await runner?.round({ all: true })).toMatchObject({ settled: third.sold.charged })
  await runner?.close()
  await expect.poll(() => chain.balanceOf(seller.address)).toBe(before + third.sold.charged)

  // Who never reads there again takes the rest out, and his books say what the chain does.
  const store = sqliteStore(place)
  const own = evmChain({ network, rpcUrl, signers: [plan.key] })
  const clock = () => Date.now() + 1_300_000
  const channels = payerChannels({ signer: privateKeySigner(plan.key), store, chains: [own], clock })
  const id = (await rowOf(store, 'payer'))?.id ?? ''
  await channels.startWithdrawal(id)
  await chain.increaseTime(900)
  await channels.finishWithdrawal(id)
  const { charged: claimed } = third.sold
  expect(await rowOf(store, 'payer')).toMatchObject({ charged: claimed, funds: { claimed, balance: claimed, withdrawing: 0n } })
  expect((await rowOf(store, 'payer'))?.lanes).toBeUndefined()
  await store.close()
})
