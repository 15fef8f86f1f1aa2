import { paymentRequiredHeader } from '@flow402x/core'
import type { DevelopmentAccount } from '@flow402x/testing'
import { createWalletClient, erc20Abi, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { type ClientPeer, legacy, official, ours } from './clients.ts'
import type { FacilitatorPeer } from './facilitators.ts'
import { type Changes, middleman } from './middleman.ts'
import { receiptIn, watch } from './purchase.ts'
import { legacyServer, officialServers, ourServers, price, type ServerPeer, type Shop } from './servers.ts'
import { leaveTable } from './table.ts'
import { startWorld, type World } from './world.ts'

type Pair = { readonly client: ClientPeer; readonly server: ServerPeer; readonly facilitator: FacilitatorPeer['name'] }

/** The answer to a payment that must not succeed. */
type Refused = { readonly status: number; readonly reason: string }
type Wrong = keyof typeof refusedByOurs

const [ourExpress, ourHono] = ourServers
const [officialExpress, officialHono] = officialServers

const pairs: readonly Pair[] = [
  ...pairsOf([official, legacy], { servers: [ourExpress, ourHono], facilitators: ['ours, in process', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: [officialExpress, officialHono], facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: [legacyServer], facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
]

const noMatch = 'No matching payment requirements'
const noBalance = 'invalid_exact_evm_insufficient_balance'

const refusedByOurs = {
  'a broken signature': { status: 402, reason: 'invalid_exact_evm_signature' },
  'a payment that has expired': { status: 402, reason: 'invalid_exact_evm_payload_authorization_valid_before' },
  'less than the price': { status: 402, reason: 'invalid_exact_evm_payload_authorization_value_mismatch' },
  'another network': { status: 402, reason: noMatch },
  'a payer without money': { status: 402, reason: noBalance },
  'the same payment twice': { status: 402, reason: 'receipt: duplicate_settlement' },
  // A node may still answer reads from the block before; then the transaction itself finds out.
  'money gone before settlement': {
    status: 402,
    reason: expect.stringMatching(/^receipt: invalid_exact_evm_(insufficient_balance|transaction_failed)$/),
  },
  'no payment at all': { status: 400, reason: 'invalid_x402_version' },
}

// Official servers have no memory of their own, and call what they cannot read unpaid (wire.md §22).
const refusedByOfficial = {
  ...refusedByOurs,
  'the same payment twice': { status: 402, reason: 'invalid_exact_evm_nonce_already_used' },
  'no payment at all': { status: 402, reason: 'Unsupported x402 version: undefined' },
}

const refusedByLegacy = {
  ...refusedByOfficial,
  'another network': { status: 402, reason: 'Unable to find matching payment requirements' },
  'money gone before settlement': { status: 402, reason: noBalance },
  'no payment at all': { status: 402, reason: 'Invalid network' },
}

const refusedByLegacyThroughOfficial = {
  ...refusedByLegacy,
  'less than the price': { status: 402, reason: 'invalid_exact_evm_authorization_value' },
  'money gone before settlement': { status: 402, reason: expect.stringContaining('transfer amount exceeds balance') },
}

const tampered: { readonly [what in Wrong]?: Changes } = {
  'a broken signature': {
    payment: (payment) => ({ ...payment, payload: { ...payment.payload, signature: turned(payment.payload) } }),
    paymentV1: (payment) => ({ ...payment, payload: { ...payment.payload, signature: turned(payment.payload) } }),
  },
  'a payment that has expired': {
    offer: (offer) => ({ ...offer, maxTimeoutSeconds: 1 }),
    offerV1: (offer) => ({ ...offer, maxTimeoutSeconds: 1 }),
    payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, maxTimeoutSeconds: 300 } }),
  },
  'less than the price': {
    offer: (offer) => ({ ...offer, amount: '1' }),
    offerV1: (offer) => ({ ...offer, maxAmountRequired: '1' }),
    payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, amount: String(price) } }),
  },
  'another network': {
    payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, network: 'eip155:8453' } }),
    paymentV1: (payment) => ({ ...payment, network: 'base' }),
  },
}

const rows: { readonly pair: Pair; readonly what: Wrong; readonly refused: Refused }[] = []
let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(async () => {
  report()
  await world?.close()
})

describe.each(pairs)('$client.name pays $server.name wrongly, settled by $facilitator', (pair) => {
  it.each(Object.entries(tampered))('%s', async (what, changes) => {
    const { fetch, sent } = middleman(changes)
    await inShop(pair, {}, async (shop) => {
      const payer = world.chain.buyer
      const refused = await refusal(shop, { payer, attempt: () => attempt(pair, { shop, payer, fetch }) })
      // The names of an object that is written here are its keys.
      expectRefused(pair, what as Wrong, refused)
      expect(sent.length).toBe(1)
    })
  })

  it('a payer without money', async () => {
    const { fetch, sent } = middleman()
    await inShop(pair, {}, async (shop) => {
      const payer = world.chain.owner
      const refused = await refusal(shop, { payer, attempt: () => attempt(pair, { shop, payer, fetch }) })
      expectRefused(pair, 'a payer without money', refused)
      expect(sent.length).toBe(1)
    })
  })

  it('the same payment twice', async () => {
    const { fetch: send, sent } = middleman()
    await inShop(pair, {}, async (shop) => {
      const payer = world.chain.buyer
      const first = await watch(world, payer, () => attempt(pair, { shop, payer, fetch: send }))
      expect([first.result.status, first.movement]).toEqual([200, { buyer: -price, seller: price }])
      const [payment] = sent
      const again = () => fetch(`${shop.url}/goods`, { headers: { [payment?.name ?? '']: payment?.value ?? '' } })
      expectRefused(pair, 'the same payment twice', await refusal(shop, { payer, attempt: again }))
    })
  })

  it('money gone before settlement', async () => {
    const payer = world.chain.accounts[5] ?? world.chain.buyer
    await world.chain.mint(payer.address, price)
    await inShop(pair, { during: () => drain(payer) }, async (shop) => {
      const before = await world.chain.balanceOf(world.chain.seller.address)
      const response = await attempt(pair, { shop, payer })
      expect(await response.clone().text()).not.toContain('"body":""')
      expectRefused(pair, 'money gone before settlement', { status: response.status, reason: await reasonOf(response) })
      expect(await world.chain.balanceOf(world.chain.seller.address)).toBe(before)
      expect(shop.runs()).toBe(1)
    })
  })

  it('no payment at all', async () => {
    await inShop(pair, {}, async (shop) => {
      const name = pair.server.versions.includes(2) ? 'PAYMENT-SIGNATURE' : 'X-PAYMENT'
      const garbage = () => fetch(`${shop.url}/goods`, { headers: { [name]: 'e30=' } })
      expectRefused(pair, 'no payment at all', await refusal(shop, { payer: world.chain.buyer, attempt: garbage }))
    })
  })
})

function expectRefused(pair: Pair, what: Wrong, refused: Refused): void {
  const { server, facilitator } = pair
  rows.push({ pair, what, refused })
  if (ourServers.includes(server)) expect(refused).toEqual(refusedByOurs[what])
  else if (officialServers.includes(server)) expect(refused).toEqual(refusedByOfficial[what])
  else expect(refused).toEqual((facilitator === 'ours, HTTP' ? refusedByLegacy : refusedByLegacyThroughOfficial)[what])
}

function pairsOf(
  clients: readonly ClientPeer[],
  { servers, facilitators }: { servers: readonly (ServerPeer | undefined)[]; facilitators: readonly FacilitatorPeer['name'][] },
): Pair[] {
  return clients.flatMap((client) =>
    servers.flatMap((server) => (server === undefined ? [] : facilitators.map((facilitator) => ({ client, server, facilitator })))),
  )
}

async function inShop(pair: Pair, { during }: { during?: () => Promise<void> }, visit: (shop: Shop) => Promise<void>): Promise<void> {
  const { seller } = world.chain
  const facilitator = world.facilitators[pair.facilitator]
  const shop = await pair.server.open({ payTo: seller.address, facilitator, ...(during === undefined ? {} : { during }) })
  try {
    await visit(shop)
  } finally {
    await shop.close()
  }
}

function attempt({ client }: Pair, { shop, payer, fetch }: { shop: Shop; payer: DevelopmentAccount; fetch?: typeof globalThis.fetch }) {
  const pay = client.connect({ privateKey: payer.privateKey, ...(fetch === undefined ? {} : { fetch }) })
  return pay(`${shop.url}/goods`, { method: 'GET' })
}

/** An attempt that is refused: a status below 500, nothing moved, no handler run. */
async function refusal(shop: Shop, { payer, attempt }: { payer: DevelopmentAccount; attempt: () => Promise<Response> }): Promise<Refused> {
  const runs = shop.runs()
  const { result, movement } = await watch(world, payer, async () => {
    const response = await attempt()
    return { status: response.status, reason: await reasonOf(response) }
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

function turned({ signature: signed }: Readonly<Record<string, unknown>>): string {
  const signature = String(signed)
  return `${signature.slice(0, 20)}${signature[20] === '0' ? '1' : '0'}${signature.slice(21)}`
}

async function drain(payer: DevelopmentAccount): Promise<void> {
  const { chain } = world
  const account = privateKeyToAccount(payer.privateKey)
  const wallet = createWalletClient({ account, chain: baseSepolia, transport: http(chain.rpcUrl) })
  const args = [chain.facilitator.address, await chain.balanceOf(payer.address)] as const
  await wallet.writeContract({ address: chain.usdc.address, abi: erc20Abi, functionName: 'transfer', args })
}

function report(): void {
  leaveTable('1-refused', {
    title: 'x402 interop: what is refused, and why',
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
