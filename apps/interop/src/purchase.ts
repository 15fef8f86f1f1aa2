import type { SettleResponse } from '@flow402x/core'
import { paymentResponseHeader } from '@flow402x/core'
import { xPaymentResponseHeader } from '@flow402x/core/v1'
import { expect } from 'vitest'
import type { PayingFetch } from './clients.ts'
import { price, type Shop } from './servers.ts'
import type { Account, World } from './world.ts'

/** What moved on the chain while something happened, in atomic units. */
export type Movement = { readonly buyer: bigint; readonly seller: bigint }

/** What one purchase came to. */
export type Purchase = { readonly transaction: string; readonly moved: bigint }

/** A purchase that must succeed: goods, receipt, handler and both balances are looked at. */
export async function expectPurchase(
  world: World,
  { shop, pay, version, buyer, init }: { shop: Shop; pay: PayingFetch; version: 1 | 2; buyer: Account; init: RequestInit },
): Promise<Purchase> {
  const runs = shop.runs()
  const paid = world.used?.paid ?? price
  const { result: response, movement } = await watch(world, buyer, async () => {
    const answer = await pay(`${shop.url}/goods`, init)
    return { status: answer.status, body: await answer.text(), headers: answer.headers }
  })
  expect(response).toMatchObject({ status: 200, body: JSON.stringify({ method: init.method, body: init.body ?? '' }) })
  const receipt = receiptIn(response.headers)
  expect(receipt).toMatchObject({
    version,
    success: true,
    payer: buyer.address,
    network: version === 1 ? world.networkV1 : world.network,
    transaction: expect.stringMatching(world.transaction),
  })
  const transaction = receipt?.transaction ?? ''
  expect(await world.settlementIn(transaction)).toEqual({
    sender: shop.facilitator.signer,
    transfers: [{ from: buyer.address, to: world.chain.seller.address, value: paid }],
  })
  expect({ runs: shop.runs() - runs, movement }).toEqual({ runs: 1, movement: { buyer: -paid, seller: paid } })
  return { transaction, moved: movement.seller }
}

/** Does something and says what it moved. */
export async function watch<Result>(
  { chain }: World,
  buyer: Pick<Account, 'address'>,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly movement: Movement }> {
  const balances = () => Promise.all([chain.balanceOf(buyer.address), chain.balanceOf(chain.seller.address)])
  const [buyerBefore, sellerBefore] = await balances()
  const result = await work()
  const [buyerAfter, sellerAfter] = await balances()
  return { result, movement: { buyer: buyerAfter - buyerBefore, seller: sellerAfter - sellerBefore } }
}

/** The one receipt of an answer as its header has it; a network keeps the spelling of its version. */
export function receiptIn(headers: Headers): (SettleResponse & { readonly version: 1 | 2 }) | undefined {
  const modern = headers.get(paymentResponseHeader.name)
  const old = headers.get(xPaymentResponseHeader.name)
  expect([modern, old].filter((header) => header !== null).length).toBeLessThan(2)
  if (modern !== null) return { version: 2, ...paymentResponseHeader.decode(modern) }
  return old === null ? undefined : { version: 1, ...xPaymentResponseHeader.decode(old) }
}
