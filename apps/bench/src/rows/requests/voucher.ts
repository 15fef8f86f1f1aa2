import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { network, paths } from '../../houses/terms.ts'
import { type ChannelShop, openChannelShop } from '../../measure/channel-shop.ts'
import { interleave } from '../../measure/interleave.ts'
import { hammer } from '../../measure/load.ts'
import { type Role, startRole, withRoles } from '../../measure/role.ts'
import { atLeastOfOfficial, atMost, type Context, type Figure, figureOf, type Judge, type Row } from '../../report/figure.ts'
import type { ChannelSellerArgument } from '../../roles/channel-seller.ts'

const row = 'voucher'

/** Paid requests over channels that are filled: sellers in processes of their own, and vouchers that were signed before. */
export const voucher: Row = {
  name: row,
  async run(context) {
    const figures: Figure[] = []
    for (const framework of ['Express', 'Hono'] as const) {
      context.onProgress(`vouchers over eight channels, ${framework}`)
      // One for each: the buyer's money on it fills the channels of one.
      const chain = await startEvmChain({ network })
      try {
        figures.push(...(await paidOver(context, chain, framework)))
      } finally {
        await chain.stop()
      }
    }
    return figures
  },
}

const sellers = ['native', 'pure JS', 'SQLite', 'official'] as const
type Name = (typeof sellers)[number]
type Sample = { readonly perCore: number; readonly p50: number; readonly p99: number }
type Seller = Role<{ url: string }, Record<never, never>>
// As many payers at once, each with a channel of his own: the official server serves one request of a channel at a time.
const payers = 8
// What a round takes of each, so that all take about as long.
const counts: Readonly<Record<Name, number>> = { native: 4000, 'pure JS': 1200, SQLite: 2000, official: 400 }

async function paidOver(
  { rounds, share, profiles }: Context,
  chain: EvmChain,
  framework: ChannelSellerArgument['framework'],
): Promise<readonly Figure[]> {
  const account = { rpcUrl: chain.rpcUrl, key: chain.seller.privateKey, payTo: chain.seller.address }
  const starts = sellers.map((name) => {
    const argument: ChannelSellerArgument = {
      ...account,
      framework,
      house: name === 'official' ? 'official' : 'ours',
      curve: name === 'pure JS' ? 'pure JS' : 'native',
      books: name === 'SQLite' ? 'SQLite' : 'memory',
    }
    return startRole<{ url: string }>('channel-seller', { argument, profiles, name: `${row}-${framework}-${name.replace(' ', '-')}` })
  })
  const samples = await withRoles(starts, async () => {
    const shops = new Map<Name, ChannelShop>()
    for (const [index, name] of sellers.entries()) {
      const seller = await starts[index]
      if (seller !== undefined) shops.set(name, await openChannelShop(chain, { seller, payers, salt: BigInt(index * payers) }))
    }
    const floor = await starts[0]
    const many = (name: Name, warm: boolean) => Math.max(payers * 2, Math.ceil(counts[name] * share * (warm ? 0.5 : 1)))
    return interleave(['floor', ...sellers], {
      rounds,
      run: (name, { warm }) => (name === 'floor' ? free(floor, many('native', warm)) : sample(shops.get(name), many(name, warm))),
    })
  })
  const of = (name: Name | 'floor', field: keyof Sample) => samples[name].map((one) => one[field])
  const figure = (
    text: string,
    name: Name,
    field: keyof Sample,
    more: { readonly judges?: readonly Judge[]; readonly note?: string } = {},
  ) => {
    const { judges = [], ...note } = more
    const unit = field === 'perCore' ? '/s' : 'ms'
    const [ours, official, floor] = [of(name, field), of('official', field), of('floor', field)]
    return figureOf({ row, figure: `${text}, ${framework}`, unit, ours, official, floor, ...note }, judges)
  }
  // Express alone takes most of what would have to suffice: targets are held where the framework is least of what is measured.
  const held = (...judges: readonly Judge[]) => ({ judges: framework === 'Hono' ? judges : [] })
  const perCore = 'paid requests per second of the server’s CPU'
  const durable = 'each charge is on disk before its answer leaves; the official books are in memory'
  return [
    figure(`${perCore}, native verifier`, 'native', 'perCore', held(atLeastOfOfficial(20))),
    figure(`${perCore}, pure JS`, 'pure JS', 'perCore', held(atLeastOfOfficial(4))),
    figure(`${perCore}, native verifier, books in SQLite`, 'SQLite', 'perCore', { note: durable }),
    figure('p50, one at a time', 'native', 'p50', held(atMost(0.3, 'ms'))),
    figure('p99, one at a time', 'native', 'p99', held(atMost(1.5, 'ms'))),
  ]
}

async function sample(shop: ChannelShop | undefined, count: number): Promise<Sample> {
  if (shop === undefined) throw new Error('A seller is missing.')
  const { url, purses } = shop
  const alone = Math.ceil(count / 4)
  const payments = [(await purses[0]?.take(alone)) ?? []]
  const { p50, p99 } = await hammer({ url, requests: alone, connections: 1, status: 200, payments })
  return { perCore: await shop.perCore(count), p50, p99 }
}

/** The same answers where nobody looks at who asks. */
async function free(seller: Seller | undefined, requests: number): Promise<Sample> {
  if (seller === undefined) throw new Error('A seller is missing.')
  const url = `${seller.ready.url}${paths.free}`
  const { p50, p99 } = await hammer({ url, requests: Math.ceil(requests / 4), connections: 1, status: 200 })
  const before = await seller.usage()
  await hammer({ url, requests, connections: payers, status: 200 })
  return { perCore: (1e6 * requests) / ((await seller.usage()).cpu - before.cpu), p50, p99 }
}
