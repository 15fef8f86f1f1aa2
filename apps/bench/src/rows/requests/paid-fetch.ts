import { developmentAccounts } from '@flow402x/testing'
import { paths } from '../../houses/terms.ts'
import { interleave } from '../../measure/interleave.ts'
import { startRole, withRoles } from '../../measure/role.ts'
import { atMostOfOfficial, type Context, counted, figureOf, median, type Row } from '../../report/figure.ts'
import type { BuyerArgument, BuyerCalls } from '../../roles/buyer.ts'
import type { SellerArgument } from '../../roles/seller.ts'

const row = 'paid-fetch'

/** How long a buyer waits for one paid call, where the facilitator answers at once. */
export const paidFetch: Row = {
  name: row,
  async run(context) {
    context.onProgress('paid calls, facilitator stubbed')
    const { houses, sameSeller, remembering, trips } = await waits(context)
    return [
      figureOf({ row, figure: 'p50 of a paid call, each house with its own Express seller', unit: 'ms', ...houses }, [
        atMostOfOfficial(0.5),
      ]),
      figureOf({ row, figure: 'p50 of a paid call, both buyers at our seller', unit: 'ms', ...sameSeller }),
      figureOf(
        { row, figure: 'p50 of a paid call with remembered terms, each house with its own Express seller', unit: 'ms', ...remembering },
        [atMostOfOfficial(0.5)],
      ),
      figureOf({ row, figure: 'round trips of a paid call with remembered terms', unit: '', ours: trips }, [counted(1, 'round trip')]),
    ]
  },
}

const contenders = ['floor', 'ours', 'remembering', 'official', 'mppx', 'official at ours'] as const

async function waits({ rounds, share, profiles }: Context) {
  const [, , payee, account] = developmentAccounts
  const key = account?.privateKey ?? ''
  const stub = startRole<{ url: string }>('stub', { argument: {} })
  const facilitatorUrl = (await stub).ready.url
  const sellers = (['ours', 'official', 'mppx'] as const).map((house) => {
    const argument: SellerArgument = { house, framework: 'Express', facilitatorUrl, payTo: payee?.address ?? '' }
    return startRole<{ url: string }>('seller', { argument, profiles, name: `${row}-seller-${house}` })
  })
  const remembers = { house: 'ours', remembers: true } as const
  // A process for each way, so that all have bought as often when they are measured.
  const all = [{ house: 'ours' }, remembers, { house: 'official' }, { house: 'official' }, { house: 'mppx' }, { house: 'floor' }] as const
  const buyers = all.map((who) => {
    const argument: BuyerArgument = { ...who, key }
    return startRole<unknown, BuyerCalls>('buyer', { argument, profiles, name: `${row}-buyer-${who.house}` })
  })
  const samples = await withRoles([stub, ...sellers, ...buyers], async () => {
    const [ourSeller, officialSeller, mppxSeller] = (await Promise.all(sellers)).map(({ ready }) => ready.url)
    const [ours, remembering, official, officialAtOurs, mppx, floor] = await Promise.all(buyers)
    const ways = {
      floor: { buyer: floor, url: `${ourSeller}${paths.free}` },
      ours: { buyer: ours, url: `${ourSeller}${paths.goods}` },
      remembering: { buyer: remembering, url: `${ourSeller}${paths.goods}` },
      official: { buyer: official, url: `${officialSeller}${paths.goods}` },
      mppx: { buyer: mppx, url: `${mppxSeller}${paths.goods}` },
      'official at ours': { buyer: officialAtOurs, url: `${ourSeller}${paths.goods}` },
    }
    return interleave(contenders, {
      rounds,
      run: async (name, { warm }) => {
        const { buyer, url } = ways[name]
        const count = Math.ceil((warm ? 300 : 500) * share)
        const bought = await buyer?.call('buy', { url, count, most: 1 })
        const failures = Object.entries(bought?.failures ?? {})
        if (failures.length > 0) throw new Error(`${name} did not get the goods: ${JSON.stringify(failures)}`)
        return { wait: median(bought?.latencies ?? []), trips: (bought?.trips ?? Number.NaN) / count }
      },
    })
  })
  const of = (name: (typeof contenders)[number]) => samples[name].map(({ wait }) => wait)
  const [floor, official, mppx] = [of('floor'), of('official'), of('mppx')]
  return {
    houses: { floor, ours: of('ours'), official, mppx },
    sameSeller: { floor, ours: of('ours'), official: of('official at ours') },
    remembering: { floor, ours: of('remembering'), official, mppx },
    trips: samples.remembering.map(({ trips }) => trips),
  }
}
