import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { network } from '../../houses/terms.ts'
import { type ChannelShop, openChannelShop } from '../../measure/channel-shop.ts'
import { interleave } from '../../measure/interleave.ts'
import { hammer } from '../../measure/load.ts'
import { startRole, withRoles } from '../../measure/role.ts'
import { atLeastOfOfficial, atMost, type Context, type Figure, figureOf, type Row } from '../../report/figure.ts'
import type { ChannelSellerArgument } from '../../roles/channel-seller.ts'

const row = 'voucher'

/** Paid requests over channels that are filled: a seller in a process of its own, and vouchers that were signed before. */
export const voucher: Row = {
  name: row,
  async run(context) {
    const chain = await startEvmChain({ network })
    try {
      return await figures(context, chain)
    } finally {
      await chain.stop()
    }
  },
}

const contenders = ['native', 'pure JS', 'SQLite', 'official'] as const
type Contender = (typeof contenders)[number]
type Sample = { readonly perCore: number; readonly p50: number; readonly p99: number }
// As many payers at once, each with a channel of his own: the official server serves one request of a channel at a time.
const payers = 8
// What a round takes of each, so that all take about as long.
const counts: Readonly<Record<Contender, number>> = { native: 4000, 'pure JS': 1600, SQLite: 4000, official: 400 }

async function figures({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<readonly Figure[]> {
  onProgress('vouchers over eight channels')
  const account = chain.seller
  const sellers = contenders.map((name) => {
    const argument: ChannelSellerArgument = {
      house: name === 'official' ? 'official' : 'ours',
      curve: name === 'pure JS' ? 'pure JS' : 'native',
      books: name === 'SQLite' ? 'SQLite' : 'memory',
      rpcUrl: chain.rpcUrl,
      key: account.privateKey,
      payTo: account.address,
    }
    return startRole<{ url: string }>('channel-seller', { argument, profiles, name: `${row}-${name.replace(' ', '-')}` })
  })
  const samples = await withRoles(sellers, async () => {
    const shops = new Map<Contender, ChannelShop>()
    for (const [index, name] of contenders.entries()) {
      const seller = await sellers[index]
      if (seller !== undefined) shops.set(name, await openChannelShop(chain, { seller, payers, salt: BigInt(index * payers) }))
    }
    return interleave(contenders, {
      rounds,
      run: (name, { warm }) => sample(shops.get(name), Math.max(payers * 2, Math.ceil(counts[name] * share * (warm ? 0.5 : 1)))),
    })
  })
  const of = (name: Contender, field: keyof Sample) => samples[name].map((one) => one[field])
  const official = (field: keyof Sample) => ({ official: of('official', field) })
  const perCore = 'paid requests per second of the server’s CPU'
  return [
    figureOf({ row, figure: `${perCore}, native verifier`, unit: '/s', ours: of('native', 'perCore'), ...official('perCore') }, [
      atLeastOfOfficial(20),
    ]),
    figureOf({ row, figure: `${perCore}, pure JS`, unit: '/s', ours: of('pure JS', 'perCore'), ...official('perCore') }, [
      atLeastOfOfficial(4),
    ]),
    figureOf({
      row,
      figure: `${perCore}, native verifier, books in SQLite`,
      unit: '/s',
      ours: of('SQLite', 'perCore'),
      ...official('perCore'),
      note: 'each charge is on disk before its answer leaves; the official books are in memory',
    }),
    figureOf({ row, figure: 'p50, one at a time', unit: 'ms', ours: of('native', 'p50'), ...official('p50') }, [atMost(0.3, 'ms')]),
    figureOf({ row, figure: 'p99, one at a time', unit: 'ms', ours: of('native', 'p99'), ...official('p99') }, [atMost(1.5, 'ms')]),
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
