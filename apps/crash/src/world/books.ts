import type { Claim, PaymentPayload, Settlement } from '@flow402x/core'
import { createServer, httpFacilitator } from '@flow402x/server'
import type { Transfer } from './rail.ts'
import type { World } from './world.ts'

/** Everything the seller was ever paid. */
export function transfersTo({ rail, payTo }: World): Promise<readonly Transfer[]> {
  return rail.transfersTo(payTo)
}

/** What the books of both sides say of a payment. */
export type Entry = { readonly claim: Claim | undefined; readonly settlement: Settlement | undefined }

/** What the books say of payments, in their order. */
export async function entriesOf(world: World, payments: Iterable<PaymentPayload>): Promise<readonly Entry[]> {
  const { rail, payTo, store, journal } = world
  const scheme = rail.server(payTo)
  return Promise.all(
    [...payments].map(async (payment) => {
      const id = scheme.key(payment)?.id ?? ''
      return { claim: await store.claims.find(id), settlement: await journal.find(id) }
    }),
  )
}

/** What the seller's books say was paid to it, in atomic units (H42). */
export async function incomeIn({ rail, payTo, facilitator, store }: World): Promise<bigint> {
  const { books } = createServer({ facilitator: httpFacilitator(facilitator.url), schemes: [rail.server(payTo)], store })
  let income = 0n
  // Shops may share a store.
  for await (const sale of books()) if (sale.payTo === payTo && sale.outcome !== 'unclaimed') income += BigInt(sale.amount)
  return income
}

/** Whether a seller's claims and a facilitator's journal have nothing left to do for these payments. */
export async function isAtRest(world: World, payments: Iterable<PaymentPayload>): Promise<boolean> {
  const { journal, rail, signer } = world
  const entries = await entriesOf(world, payments)
  const slots = await journal.slots({ network: rail.network, signer })
  // What is mined waits for the chain alone.
  return slots.every(({ state }) => state === 'mined') && entries.every((entry) => hasEnded(entry, world.log()))
}

function hasEnded({ claim, settlement }: Entry, log: readonly string[]): boolean {
  const isOver = settlement === undefined || (settlement.outcome !== undefined && settlement.outcome.status !== 'pending')
  return isOver && (claim === undefined || claim.state === 'delivered' || claim.state === 'failed' || waitsForPayer(claim, log))
}

/** Whether there is nothing left to do for a claim but by its payer: nobody works on it, and its payment lives, or is listed as paid. */
function waitsForPayer({ state, claimId, leaseUntil, deadAfter }: Claim, log: readonly string[]): boolean {
  const now = Date.now()
  const isListed = state === 'settled' && log.includes(`undelivered ${claimId}`)
  return leaseUntil <= now && (isListed || (state === 'open' && deadAfter * 1000 > now))
}
