import { exactEvmServer } from '@flow402x/adapters-evm/server'
import type { Claim, PaymentPayload, Settlement } from '@flow402x/core'
import { encodeEventTopics, type Hex, parseAbi } from 'viem'
import * as z from 'zod/mini'
import type { World } from './world.ts'

/** One transfer to the seller, as the chain has logged it, in atomic units. */
export type Transfer = { readonly from: string; readonly value: bigint; readonly transaction: string }

const abi = parseAbi(['event Transfer(address indexed from, address indexed to, uint256 value)'])
const hex = z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]*$/.test(value))
const logs = z.array(z.looseObject({ topics: z.array(hex), data: hex, transactionHash: hex }))

/** Everything the seller was ever paid. */
export async function transfersTo({ chain, payTo }: Pick<World, 'chain' | 'payTo'>): Promise<readonly Transfer[]> {
  const topics = encodeEventTopics({ abi, eventName: 'Transfer', args: { to: payTo } })
  const found = await chain.rpc('eth_getLogs', [{ fromBlock: '0x0', toBlock: 'latest', address: chain.usdc.address, topics }])
  return logs.parse(found).map(({ topics: [, from = '0x'], data, transactionHash }) => {
    return { from: `0x${from.slice(26)}`, value: BigInt(data), transaction: transactionHash }
  })
}

/** What the books of both sides say of a payment. */
export type Entry = { readonly claim: Claim | undefined; readonly settlement: Settlement | undefined }

/** What the books say of payments, in their order. */
export async function entriesOf(world: World, payments: Iterable<PaymentPayload>): Promise<readonly Entry[]> {
  const { chain, payTo, claims, journal } = world
  const scheme = exactEvmServer({ network: chain.network, payTo })
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
  const { journal, chain, signer } = world
  const entries = await entriesOf(world, payments)
  const slots = await journal.slots({ network: chain.network, signer })
  // What is mined waits for the chain alone.
  return slots.every(({ state }) => state === 'mined') && entries.every((entry) => hasEnded(entry, world.log()))
}

function hasEnded({ claim, settlement }: Entry, log: readonly string[]): boolean {
  const sold = claim === undefined || claim.state === 'delivered' || claim.state === 'failed' || claim.state === 'open'
  const listed = claim?.state === 'settled' && log.includes(`undelivered ${claim.claimId}`)
  return (sold || listed) && (settlement === undefined || settlement.outcome !== undefined)
}

/** The nonces of the facilitator's signer: what is mined, and what is known. They differ where there is a gap or a wedge. */
export async function noncesOf({ chain, signer }: World): Promise<readonly [mined: unknown, known: unknown]> {
  return [await chain.rpc('eth_getTransactionCount', [signer, 'latest']), await chain.rpc('eth_getTransactionCount', [signer, 'pending'])]
}
