import { paymentRequiredHeader } from '@flow402x/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import type { ClientPeer } from './clients.ts'
import type { FacilitatorPeer } from './facilitators.ts'
import { type Changes, middleman } from './middleman.ts'
import { receiptIn, watch } from './purchase.ts'
import { officialServers, ourServers, price, type ServerPeer, type Shop } from './servers.ts'
import { leaveTable } from './table.ts'
import type { Account, LocalChain, World } from './world.ts'

/** Who pays whom through whom. */
export type Pair = { readonly client: ClientPeer; readonly server: ServerPeer; readonly facilitator: FacilitatorPeer['name'] }

/** The answer to a payment that must not succeed; a client that refuses by itself has status 0. */
export type Refused = { readonly status: number; readonly reason: string }

/** What somebody in between would do to a payment, by the name of the case. */
export type Tampered<Chain extends LocalChain> = Readonly<Record<string, (world: World<Chain>) => Changes>>

/** The wrong payments of one chain. */
export type Failures<Chain extends LocalChain> = {
  /** The name of the table that is printed last. */
  readonly table: string
  readonly title: string
  readonly start: () => Promise<World<Chain>>
  readonly pairs: readonly Pair[]
  readonly tampered: Tampered<Chain>
  /** What must be answered; matchers of vitest may stand in it. */
  readonly expected: (pair: Pair, what: string) => unknown
  readonly penniless: (world: World<Chain>) => Account
  /** An account that holds the price and nothing more. */
  readonly endow: (world: World<Chain>) => Promise<Account>
  /** Moves everything an account holds away. */
  readonly drain: (world: World<Chain>, payer: Account) => Promise<void>
}

/** What each server answers to each wrong payment, by the name of the case; the official facilitator has words of its own for v1. */
export type Refusals = {
  readonly ours: Cases
  readonly official: Cases
  readonly legacy: Cases
  readonly legacyThroughOfficial: Cases
}

type Cases = Readonly<Record<string, unknown>>

/** What a pair is answered. */
export function refusalFor({ server, facilitator }: Pair, { what, refusals }: { what: string; refusals: Refusals }): unknown {
  if (ourServers.includes(server)) return refusals.ours[what]
  if (officialServers.includes(server)) return refusals.official[what]
  return (facilitator === '@x402/core, HTTP' ? refusals.legacyThroughOfficial : refusals.legacy)[what]
}

/** Every pair of clients and servers with the facilitators between them. */
export function pairsOf(
  clients: readonly ClientPeer[],
  { servers, facilitators }: { servers: readonly (ServerPeer | undefined)[]; facilitators: readonly FacilitatorPeer['name'][] },
): Pair[] {
  return clients.flatMap((client) =>
    servers.flatMap((server) => (server === undefined ? [] : facilitators.map((facilitator) => ({ client, server, facilitator })))),
  )
}

/** Pays wrongly in every way: each is refused with its reason, moves nothing and runs no handler. */
export function testFailures<Chain extends LocalChain>(failures: Failures<Chain>): void {
  const rows: { readonly pair: Pair; readonly what: string; readonly refused: Refused }[] = []
  let world: World<Chain>

  beforeAll(async () => {
    world = await failures.start()
  })

  afterAll(async () => {
    report(failures, rows)
    await world?.close()
  })

  describe.each(failures.pairs)('$client.name pays $server.name wrongly, settled by $facilitator', (pair) => {
    const expectRefused = (what: string, refused: Refused): void => {
      rows.push({ pair, what, refused })
      expect(refused).toEqual(failures.expected(pair, what))
    }
    const expectOneTry = async (what: string, { payer, changes }: { payer: Account; changes?: Changes }): Promise<void> => {
      const { fetch, sent } = middleman(changes)
      await inShop(world, { pair }, async (shop) => {
        const refused = await refusal(world, { shop, payer, attempt: () => attempt(world, { pair, shop, payer, fetch }) })
        expectRefused(what, refused)
        expect(sent.length).toBe(refused.status === 0 ? 0 : 1)
      })
    }

    it.each(Object.entries(failures.tampered))('%s', (what, changes) =>
      expectOneTry(what, { payer: world.chain.buyer, changes: changes(world) }),
    )

    it('a payer without money', () => expectOneTry('a payer without money', { payer: failures.penniless(world) }))

    it('the same payment twice', async () => {
      const { fetch: send, sent } = middleman()
      await inShop(world, { pair }, async (shop) => {
        const payer = world.chain.buyer
        const first = await watch(world, payer, () => attempt(world, { pair, shop, payer, fetch: send }))
        expect([first.result.status, first.movement]).toEqual([200, { buyer: -price, seller: price }])
        const [payment] = sent
        const again = () => fetch(`${shop.url}/goods`, { headers: { [payment?.name ?? '']: payment?.value ?? '' } })
        expectRefused('the same payment twice', await refusal(world, { shop, payer, attempt: again }))
      })
    })

    it('money gone before settlement', async () => {
      const payer = await failures.endow(world)
      const { balanceOf, seller } = world.chain
      await inShop(world, { pair, during: () => failures.drain(world, payer) }, async (shop) => {
        const before = await balanceOf(seller.address)
        const response = await attempt(world, { pair, shop, payer })
        expect(await response.clone().text()).not.toContain('"body":""')
        expectRefused('money gone before settlement', { status: response.status, reason: await reasonOf(response) })
        expect(await balanceOf(seller.address)).toBe(before)
        expect(shop.runs()).toBe(1)
      })
    })

    it('no payment at all', async () => {
      await inShop(world, { pair }, async (shop) => {
        const name = pair.server.versions.includes(2) ? 'PAYMENT-SIGNATURE' : 'X-PAYMENT'
        const garbage = () => fetch(`${shop.url}/goods`, { headers: { [name]: 'e30=' } })
        expectRefused('no payment at all', await refusal(world, { shop, payer: world.chain.buyer, attempt: garbage }))
      })
    })
  })
}

type Visit = { readonly pair: Pair; readonly during?: () => Promise<void> }

async function inShop(world: World, { pair, during }: Visit, visit: (shop: Shop) => Promise<void>): Promise<void> {
  const { seller } = world.chain
  const facilitator = world.facilitators[pair.facilitator]
  const shop = await pair.server.open(world, { payTo: seller.address, facilitator, ...(during === undefined ? {} : { during }) })
  try {
    await visit(shop)
  } finally {
    await shop.close()
  }
}

type Attempt = { readonly pair: Pair; readonly shop: Shop; readonly payer: Account; readonly fetch?: typeof globalThis.fetch }

function attempt(world: World, { pair: { client }, shop, payer, fetch }: Attempt): Promise<Response> {
  const pay = client.connect(world, { privateKey: payer.privateKey, ...(fetch === undefined ? {} : { fetch }) })
  return pay(`${shop.url}/goods`, { method: 'GET' })
}

type Attempted = { readonly shop: Shop; readonly payer: Account; readonly attempt: () => Promise<Response> }

/** An attempt that is refused: a status below 500, nothing moved, no handler run. */
async function refusal(world: World, { shop, payer, attempt }: Attempted): Promise<Refused> {
  const runs = shop.runs()
  const { result, movement } = await watch(world, payer, async () => {
    try {
      const response = await attempt()
      return { status: response.status, reason: await reasonOf(response) }
    } catch (error) {
      return { status: 0, reason: `client: ${error instanceof Error ? error.message : String(error)}` }
    }
  })
  expect(movement).toEqual({ buyer: 0n, seller: 0n })
  expect(shop.runs()).toBe(runs)
  return result
}

const bodyError = z.looseObject({ error: z.string() })

async function reasonOf(response: Response): Promise<string> {
  const receipt = receiptIn(response.headers)
  if (receipt !== undefined) return `receipt: ${receipt.errorReason ?? ''}`
  const header = response.headers.get(paymentRequiredHeader.name)
  if (header !== null) return paymentRequiredHeader.decode(header).error ?? ''
  const text = await response.text()
  const body = z.safeParse(bodyError, text === '' ? undefined : JSON.parse(text))
  return body.success ? body.data.error : text
}

type Row = { readonly pair: Pair; readonly what: string; readonly refused: Refused }

function report({ table, title }: { readonly table: string; readonly title: string }, rows: readonly Row[]): void {
  leaveTable(table, {
    title,
    head: ['client', 'server', 'facilitator', 'payment', 'status', 'reason'],
    rows: rows.map(({ pair, what, refused }) => [
      pair.client.name,
      pair.server.name,
      pair.facilitator,
      what,
      String(refused.status),
      refused.reason.split('\n')[0]?.slice(0, 70) ?? '',
    ]),
    total: `${rows.length} wrong payments, no money moved`,
  })
}
