import type { PaymentFlow } from '@flow402x/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientPeer } from './clients.ts'
import type { FacilitatorPeer } from './facilitators.ts'
import { expectPurchase, type Purchase } from './purchase.ts'
import { price, type ServerPeer } from './servers.ts'
import { leaveTable } from './table.ts'
import type { World } from './world.ts'

/** One combination of the matrix. */
export type Cell = {
  readonly client: ClientPeer
  readonly server: ServerPeer
  readonly facilitator: FacilitatorPeer['name']
  readonly flow: PaymentFlow
}

/** The combinations of one chain, and the name and title of the table that is printed last. */
export type Matrix = {
  readonly table: string
  readonly title: string
  readonly start: () => Promise<World>
  readonly cells: readonly Cell[]
}

type Row = { readonly cell: Cell; readonly bought: readonly Purchase[]; readonly ok: boolean }

/** Every combination of these; a list that is missing fails. */
export function cross({ clients, servers, facilitators, flows }: Lists): Cell[] {
  const cells = clients.flatMap((client) =>
    (servers ?? []).flatMap((server) =>
      facilitators.flatMap((facilitator) => (flows ?? []).map((flow) => ({ client, server, facilitator, flow }))),
    ),
  )
  expect(cells.length).toBeGreaterThan(0)
  return cells
}

type Lists = {
  readonly clients: readonly ClientPeer[]
  readonly servers: readonly ServerPeer[] | undefined
  readonly facilitators: readonly FacilitatorPeer['name'][]
  readonly flows: readonly PaymentFlow[] | undefined
}

/** Buys twice in every combination and holds each purchase against the chain. */
export function testMatrix({ table, title, start, cells }: Matrix): void {
  const rows: Row[] = []
  let world: World

  beforeAll(async () => {
    world = await start()
  })

  afterAll(async () => {
    report({ table, title, cells, rows })
    await world?.close()
  })

  describe.each(cells)('$client.name buys from $server.name, settled by $facilitator, $flow', (cell) => {
    it('moves the price once for each purchase', async () => {
      const bought: Purchase[] = []
      let ok = false
      try {
        await buyTwice(world, { cell, bought })
        ok = true
      } finally {
        rows.push({ cell, bought, ok })
      }
    })
  })
}

type Buying = { readonly cell: Cell; readonly bought: Purchase[] }

async function buyTwice(world: World, { cell: { client, server, facilitator, flow }, bought }: Buying): Promise<void> {
  const { buyer, seller, balanceOf } = world.chain
  const version = Math.max(...server.versions.filter((one) => client.versions.includes(one))) === 1 ? 1 : 2
  const before = await balanceOf(seller.address)
  const earnedAtRun: bigint[] = []
  const during = async () => void earnedAtRun.push((await balanceOf(seller.address)) - before)
  const shop = await server.open(world, {
    payTo: seller.address,
    facilitator: world.facilitators[facilitator],
    flow,
    during,
    used: world.used,
  })
  try {
    const pay = client.connect(world, { privateKey: buyer.privateKey })
    const inits = [
      { method: 'GET' },
      { method: 'POST', body: '{"prompt":"naïve — 価格"}', headers: { 'content-type': 'application/json' } },
    ]
    for (const init of inits) {
      bought.push(await expectPurchase(world, { shop, pay, version, buyer, init }))
      await world.turn()
    }
    expect(new Set(bought.map(({ transaction }) => transaction)).size).toBe(2)
    // What the flow means: settled before the handler ran, or after.
    const paid = world.used?.paid ?? price
    expect(earnedAtRun).toEqual(flow === 'upfront' ? [paid, 2n * paid] : [0n, paid])
  } finally {
    await shop.close()
  }
}

type Report = Omit<Matrix, 'start'> & { readonly rows: readonly Row[] }

function report({ table, title, cells, rows }: Report): void {
  const usdc = (units: bigint) => `${units / 1_000_000n}.${String(units % 1_000_000n).padStart(6, '0')} USDC`
  const sum = (bought: readonly Purchase[]) => bought.reduce((total, { moved }) => total + moved, 0n)
  const all = rows.flatMap(({ bought }) => bought)
  const green = rows.filter(({ ok }) => ok).length
  leaveTable(table, {
    title: `${title} (each purchase ${usdc(price)})`,
    head: ['', 'client', 'server', 'facilitator', 'flow', 'transactions', 'moved'],
    rows: rows.map(({ cell: { client, server, facilitator, flow }, bought, ok }) => [
      ok ? '✓' : '✗',
      client.name,
      server.name,
      facilitator,
      flow,
      String(bought.length),
      usdc(sum(bought)),
    ]),
    total: `${green} of ${cells.length} combinations green, ${all.length} transactions, ${usdc(sum(all))} moved`,
  })
}
