import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type House, network, paths } from '../../houses/terms.ts'
import { interleave } from '../../measure/interleave.ts'
import { startRole, withRoles } from '../../measure/role.ts'
import { atLeastOfOfficial, atMost, type Context, counted, figureOf, type Row } from '../../report/figure.ts'
import type { Bought, BuyerArgument, BuyerCalls } from '../../roles/buyer.ts'
import type { FacilitatorArgument } from '../../roles/facilitator.ts'
import type { ProxyArgument, ProxyCalls } from '../../roles/rpc-proxy.ts'
import type { SellerArgument } from '../../roles/seller.ts'

const row = 'end-to-end'

/** A buyer, an Express seller and a facilitator, each in a process of its own, on a chain that mines at once. */
export const endToEnd: Row = {
  name: row,
  async run(context) {
    const chain = await startEvmChain({ network })
    const argument: ProxyArgument = { rpcUrl: chain.rpcUrl }
    const proxy = startRole<{ url: string }, ProxyCalls>('rpc-proxy', { argument })
    try {
      return await withRoles([proxy], async () => {
        const { ready, call } = await proxy
        const { perSecond, cpu, lost } = await sales(context, chain)
        context.onProgress('RPC calls per paid request')
        const calls = await rpcCalls(context, { chain, rpcUrl: ready.url, seen: async () => (await call('seen', null)).roundTrips })
        return [
          figureOf({ row, figure: 'paid requests per second, 32 in flight', unit: '/s', ...perSecond }, [atLeastOfOfficial(5)]),
          figureOf({ row, figure: 'lost of those', unit: '%', ...lost }, [
            { text: 'no error', kind: 'ratio', meets: ({ ours }) => ours === 0 },
          ]),
          figureOf({ row, figure: 'CPU of buyer, seller and facilitator per paid request', unit: 'ms', ...cpu }, [atMost(6, 'ms')]),
          figureOf({ row, figure: 'RPC calls per paid request, 8 in flight', unit: '', ...calls }, [counted(2, 'calls')]),
        ]
      })
    } finally {
      await chain.stop()
    }
  },
}

async function sales({ rounds, share, profiles, onProgress }: Context, chain: EvmChain) {
  onProgress('paid requests, 32 in flight')
  const streets = { ours: openStreet(chain, { house: 'ours', profiles }), official: openStreet(chain, { house: 'official', profiles }) }
  const argument: BuyerArgument = { house: 'floor', key: '' }
  const stroller = startRole<unknown, BuyerCalls>('buyer', { argument })
  const samples = await withRoles([...Object.values(streets), stroller], async () =>
    interleave(['floor', 'ours', 'official'], {
      rounds,
      async run(name, { warm }) {
        const { buy, cpu, url } = await streets[name === 'official' ? 'official' : 'ours']
        const size = (warm ? 0.5 : 1) * share
        const before = await cpu()
        if (name === 'floor') {
          const walker = await stroller
          const [count, own] = [Math.ceil(2000 * size), (await walker.usage()).cpu]
          const bought = checked(await walker.call('buy', { url: `${url}${paths.free}`, count, most: 32 }))
          const used = (await cpu()) - before + (await walker.usage()).cpu - own
          return { perSecond: count / bought.seconds, cpu: used / count / 1000, lost: 0 }
        }
        const count = Math.ceil((name === 'ours' ? 500 : 200) * size)
        const { latencies, seconds, failures } = await buy(count, 32)
        const [good, reasons] = [latencies.length, Object.entries(failures)]
        if (reasons.length > 0) onProgress(`${name} lost ${count - good} of ${count}: ${JSON.stringify(reasons).slice(0, 1000)}`)
        const used = ((await cpu()) - before) / 1000
        return { perSecond: good / seconds, cpu: used / Math.max(1, good), lost: (100 * (count - good)) / count }
      },
    }),
  )
  const of = (field: 'perSecond' | 'cpu' | 'lost') => ({
    ours: samples.ours.map((one) => one[field]),
    official: samples.official.map((one) => one[field]),
    floor: samples.floor.map((one) => one[field]),
  })
  return { perSecond: of('perSecond'), cpu: of('cpu'), lost: { ours: of('lost').ours, official: of('lost').official } }
}

type Watched = { readonly chain: EvmChain; readonly rpcUrl: string; readonly seen: () => Promise<number> }

async function rpcCalls({ share }: Context, { chain, rpcUrl, seen }: Watched) {
  const count = Math.max(16, Math.ceil(64 * share))
  const calls = async (house: House) => {
    const street = openStreet(chain, { house, rpcUrl })
    return withRoles([street], async () => {
      const { buy } = await street
      await buy(16, 4)
      await seen()
      await buy(count, 8)
      return [(await seen()) / count]
    })
  }
  return { ours: await calls('ours'), official: await calls('official') }
}

type Opening = { readonly house: House; readonly rpcUrl?: string; readonly profiles?: string | undefined }

type Street = {
  readonly url: string
  buy(count: number, most: number): Promise<Bought>
  cpu(): Promise<number>
  stop(): Promise<void>
}

/** A facilitator, a seller that asks it over HTTP, and a buyer, all of one house. */
async function openStreet(chain: EvmChain, { house, rpcUrl = chain.rpcUrl, profiles }: Opening): Promise<Street> {
  const [settling, paying] = house === 'ours' ? [chain.facilitator, chain.buyer] : [chain.owner, chain.accounts[4] ?? chain.buyer]
  const named = (part: string) => ({ profiles, name: `${row}-${part}-${house}` })
  const counter: FacilitatorArgument = { house, rpcUrl, key: settling.privateKey, nonces: 'managed' }
  const facilitator = await startRole<{ url: string }>('facilitator', { argument: counter, ...named('facilitator') })
  const shop: SellerArgument = { house, framework: 'Express', facilitatorUrl: facilitator.ready.url, payTo: chain.seller.address }
  const seller = await startRole<{ url: string }>('seller', { argument: shop, ...named('seller') })
  const purse: BuyerArgument = { house, key: paying.privateKey }
  const buyer = await startRole<unknown, BuyerCalls>('buyer', { argument: purse, ...named('buyer') })
  const all = [facilitator, seller, buyer]
  return {
    url: seller.ready.url,
    buy: (count, most) => buyer.call('buy', { url: `${seller.ready.url}${paths.goods}`, count, most }),
    cpu: async () => (await Promise.all(all.map((role) => role.usage()))).reduce((sum, { cpu }) => sum + cpu, 0),
    stop: async () => void (await Promise.all(all.map((role) => role.stop()))),
  }
}

function checked(bought: Bought): Bought {
  const failures = Object.entries(bought.failures)
  if (failures.length > 0) throw new Error(`Some goods did not come: ${JSON.stringify(failures)}`)
  return bought
}
