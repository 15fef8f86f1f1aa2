import { developmentAccounts } from '@flow402x/testing'
import { paths } from '../../houses/terms.ts'
import { interleave } from '../../measure/interleave.ts'
import { hammer } from '../../measure/load.ts'
import { type Role, startRole, withRoles } from '../../measure/role.ts'
import { atLeast, atMost, atMostOfOfficial, type Context, type Figure, figureOf, type Row } from '../../report/figure.ts'
import type { SellerArgument } from '../../roles/seller.ts'

/** What an unpaid request costs a seller. */
export const challenge: Row = {
  name: 'challenge',
  async run(context) {
    const figures: Figure[] = []
    for (const framework of ['Express', 'Hono'] as const) {
      context.onProgress(`unpaid requests, ${framework}`)
      figures.push(...(await unpaid(context, framework)))
    }
    return figures
  },
}

const contenders = ['floor', 'ours', 'official', 'mppx'] as const
// Of the slowest fewer take as long.
const counts = { floor: 10_000, ours: 10_000, official: 10_000, mppx: 4000 } as const
type Sample = { readonly cpu: number; readonly p50: number; readonly perSecond: number }

async function unpaid({ rounds, share, profiles }: Context, framework: SellerArgument['framework']): Promise<Figure[]> {
  const payTo = developmentAccounts[2]?.address ?? ''
  const stub = startRole<{ url: string }>('stub', { argument: {} })
  const facilitatorUrl = (await stub).ready.url
  const sellers = contenders.map((house) => {
    const argument: SellerArgument = { house, framework, facilitatorUrl, payTo }
    return startRole<{ url: string }>('seller', { argument, profiles, name: `challenge-${framework}-${house}` })
  })
  const samples = await withRoles([stub, ...sellers], async () => {
    const [floor, ours, official, mppx] = await Promise.all(sellers)
    const byName = { floor, ours, official, mppx }
    return interleave(contenders, {
      rounds,
      run: (name, { warm }) => sample(byName[name], Math.ceil(counts[name] * (warm ? 0.6 : 1) * share)),
    })
  })
  const of = (name: (typeof contenders)[number], field: keyof Sample) => samples[name].map((one) => one[field])
  const added = (name: 'ours' | 'official' | 'mppx') => samples[name].map(({ cpu }, round) => cpu - (samples.floor[round]?.cpu ?? 0))
  const row = 'challenge'
  const relative = (name: 'ours' | 'official' | 'mppx') =>
    samples[name].map(({ perSecond }, round) => (100 * perSecond) / (samples.floor[round]?.perSecond ?? 1))
  return [
    figureOf(
      {
        row,
        figure: `CPU over a static 402, ${framework}`,
        unit: 'µs',
        ours: added('ours'),
        official: added('official'),
        mppx: added('mppx'),
        floor: of('floor', 'cpu'),
        note: 'floor: all of a static 402',
      },
      [atMost(6, 'µs'), atMostOfOfficial(0.25)],
    ),
    figureOf({
      row,
      figure: `p50 of a 402, one at a time, ${framework}`,
      unit: 'ms',
      ours: of('ours', 'p50'),
      official: of('official', 'p50'),
      mppx: of('mppx', 'p50'),
      floor: of('floor', 'p50'),
    }),
    figureOf({
      row,
      figure: `402s per second, ${framework}`,
      unit: '/s',
      ours: of('ours', 'perSecond'),
      official: of('official', 'perSecond'),
      mppx: of('mppx', 'perSecond'),
      floor: of('floor', 'perSecond'),
    }),
    figureOf(
      {
        row,
        figure: `402s per second, of a static 402's, ${framework}`,
        unit: '%',
        ours: relative('ours'),
        official: relative('official'),
        mppx: relative('mppx'),
      },
      framework === 'Hono' ? [atLeast(85, '%')] : [],
    ),
  ]
}

async function sample(seller: Role<{ url: string }, Record<never, never>> | undefined, requests: number): Promise<Sample> {
  const url = `${seller?.ready.url}${paths.goods}`
  const { p50 } = await hammer({ url, requests: Math.ceil(requests / 8), connections: 1, status: 402 })
  const before = await seller?.usage()
  const { perSecond } = await hammer({ url, requests, connections: 16, status: 402 })
  const after = await seller?.usage()
  return { cpu: ((after?.cpu ?? 0) - (before?.cpu ?? 0)) / requests, p50, perSecond }
}
