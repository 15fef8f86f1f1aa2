import type { Claim, PaymentPayload, Settlement } from '@flow402x/core'
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
  const { rail, payTo, claims, journal } = world
  const scheme = rail.server(payTo)
  return Promise.all(
    [...payments].map(async (payment) => {
      const id = scheme.key(payment)?.id ?? ''
      return { claim: await claims.find(id), settlement: await journal.find(id) }
    }),
  )
}

/** What the seller's books say was paid to it, in atomic units. */
export async function incomeIn(world: World): Promise<bigint> {
  const entries = await entriesOf(world, world.payments)
  return entries.reduce((sum, { claim }) => sum + (claim === undefined ? 0n : paidFor(claim)), 0n)
}

function paidFor({ state, outcome, submission }: Claim): bigint {
  if (state !== 'settled' && state !== 'delivered') return 0n
  return BigInt((outcome?.status === 'settled' ? outcome.amount : undefined) ?? submission.requirements.amount)
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
  const sold = claim === undefined || claim.state === 'delivered' || claim.state === 'failed' || claim.state === 'open'
  const listed = claim?.state === 'settled' && log.includes(`undelivered ${claim.claimId}`)
  return (sold || listed) && (settlement === undefined || settlement.outcome !== undefined)
}
