import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { developmentAccounts } from '@flow402x/testing'
import { hasRedis, startPostgres, startRedis } from '@flow402x/testing/servers'
import { startRole, withRoles } from '../../measure/role.ts'
import { absent, atLeast, type Context, type Figure, figureOf, type Row } from '../../report/figure.ts'
import type { StoreArgument, StoreCalls } from '../../roles/store.ts'

const row = 'store'
type Engine = StoreArgument['engine']

/** How many claims a second each engine keeps, durable before it answers. */
export const store: Row = {
  name: row,
  async run(context) {
    const figures: Figure[] = []
    const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
    try {
      figures.push(...(await claims(context, { engine: 'SQLite', at: join(folder, 'claims.db') })))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    figures.push(...(await onServer(context, { engine: 'PostgreSQL', start: startPostgres })))
    if (hasRedis()) figures.push(...(await onServer(context, { engine: 'Redis', start: startRedis })))
    else figures.push(absent({ row, figure: 'claims per second, Redis', note: 'no redis-server is installed' }))
    return figures
  },
}

type Starting = { readonly engine: Engine; readonly start: () => Promise<{ readonly url: string; stop(): Promise<void> }> }

async function onServer(context: Context, { engine, start }: Starting): Promise<Figure[]> {
  const server = start()
  return withRoles([server], async () => claims(context, { engine, at: (await server).url }))
}

async function claims({ rounds, share, profiles, onProgress }: Context, place: Pick<StoreArgument, 'engine' | 'at'>): Promise<Figure[]> {
  const { engine } = place
  onProgress(`claims on ${engine}`)
  const [, , seller, buyer] = developmentAccounts
  const argument: StoreArgument = { ...place, key: buyer?.privateKey ?? '', payTo: seller?.address ?? '' }
  const role = startRole<unknown, StoreCalls>('store', { argument, profiles, name: `${row}-${engine}` })
  return withRoles([role], async () => {
    const { call } = await role
    const sample = async (most: number) => {
      const samples: number[] = []
      for (let round = 0; round <= rounds; round += 1) {
        const perSecond = await call('claim', { count: Math.ceil((most === 1 ? 3000 : 6000) * share), most })
        if (round > 0) samples.push(perSecond)
      }
      return samples
    }
    const targets = engine === 'SQLite' ? [atLeast(5000, '/s')] : []
    return [
      figureOf({ row, figure: `durable claims per second, ${engine}, one at a time`, unit: '/s', ours: await sample(1) }, targets),
      figureOf({ row, figure: `durable claims per second, ${engine}, 64 at once`, unit: '/s', ours: await sample(64) }),
    ]
  })
}
