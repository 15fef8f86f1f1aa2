import type { PaymentFlow } from '@flow402x/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ClientPeer, legacy, official, ours } from './clients.ts'
import type { FacilitatorPeer } from './facilitators.ts'
import { expectPurchase, type Purchase } from './purchase.ts'
import { legacyServer, officialServers, ourServers, price, type ServerPeer } from './servers.ts'
import { leaveTable } from './table.ts'
import { startWorld, type World } from './world.ts'

type Cell = {
  readonly client: ClientPeer
  readonly server: ServerPeer
  readonly facilitator: FacilitatorPeer['name']
  readonly flow: PaymentFlow
}

const everyFacilitator = ['ours, in process', 'ours, HTTP', '@x402/core, HTTP'] as const
const overHttp = ['ours, HTTP', '@x402/core, HTTP'] as const
const flows = ['authorization', 'upfront'] as const

const cells: readonly Cell[] = [
  ...cross({ clients: [official, legacy, ours], servers: ourServers, facilitators: everyFacilitator, flows }),
  ...cross({ clients: [ours], servers: officialServers, facilitators: overHttp, flows }),
  ...cross({ clients: [official], servers: officialServers, facilitators: ['ours, HTTP'], flows }),
  ...cross({ clients: [ours], servers: [legacyServer], facilitators: overHttp, flows: ['authorization'] }),
  ...cross({ clients: [legacy, official], servers: [legacyServer], facilitators: ['ours, HTTP'], flows: ['authorization'] }),
]

const rows: { readonly cell: Cell; readonly bought: readonly Purchase[]; readonly ok: boolean }[] = []

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(async () => {
  report()
  await world?.close()
})

describe.each(cells)('$client.name buys from $server.name, settled by $facilitator, $flow', (cell) => {
  it('moves the price once for each purchase', async () => {
    const bought: Purchase[] = []
    let ok = false
    try {
      await buyTwice(cell, bought)
      ok = true
    } finally {
      rows.push({ cell, bought, ok })
    }
  })
})

async function buyTwice({ client, server, facilitator, flow }: Cell, bought: Purchase[]): Promise<void> {
  const { buyer, seller, balanceOf } = world.chain
  const version = Math.max(...server.versions.filter((one) => client.versions.includes(one))) === 1 ? 1 : 2
  const before = await balanceOf(seller.address)
  const earnedAtRun: bigint[] = []
  const during = async () => void earnedAtRun.push((await balanceOf(seller.address)) - before)
  const shop = await server.open({ payTo: seller.address, facilitator: world.facilitators[facilitator], flow, during })
  try {
    const pay = client.connect({ privateKey: buyer.privateKey })
    const inits = [
      { method: 'GET' },
      { method: 'POST', body: '{"prompt":"naïve — 価格"}', headers: { 'content-type': 'application/json' } },
    ]
    for (const init of inits) bought.push(await expectPurchase(world, { shop, pay, version, buyer, init }))
    expect(new Set(bought.map(({ transaction }) => transaction)).size).toBe(2)
    // What the flow means: settled before the handler ran, or after.
    expect(earnedAtRun).toEqual(flow === 'upfront' ? [price, 2n * price] : [0n, price])
  } finally {
    await shop.close()
  }
}

function cross(options: {
  readonly clients: readonly ClientPeer[]
  readonly servers: readonly ServerPeer[]
  readonly facilitators: readonly FacilitatorPeer['name'][]
  readonly flows: readonly PaymentFlow[]
}): Cell[] {
  return options.clients.flatMap((client) =>
    options.servers.flatMap((server) =>
      options.facilitators.flatMap((facilitator) => options.flows.map((flow) => ({ client, server, facilitator, flow }))),
    ),
  )
}

function report(): void {
  const usdc = (units: bigint) => `${units / 1_000_000n}.${String(units % 1_000_000n).padStart(6, '0')} USDC`
  const sum = (bought: readonly Purchase[]) => bought.reduce((total, { moved }) => total + moved, 0n)
  const all = rows.flatMap(({ bought }) => bought)
  const green = rows.filter(({ ok }) => ok).length
  leaveTable('2-matrix', {
    title: `x402 interop: who pays whom through whom (each purchase ${usdc(price)})`,
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
