import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@flow402x/testing/servers'
import { startRole, withRoles } from '../../measure/role.ts'
import { atMost, type Context, type Figure, figureOf, type Row } from '../../report/figure.ts'
import type { BazaarArgument, BazaarCalls } from '../../roles/bazaar.ts'

const row = 'bazaar'
const listings = 100_000
const questions = 400

/** How long a search takes in a large marketplace, ranked and read, with the filters that buyers use. */
export const bazaar: Row = {
  name: row,
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
    try {
      const embedded = await searches(context, { engine: 'SQLite', at: join(folder, 'bazaar.db') })
      const server = startPostgres()
      const shared = await withRoles([server], async () => searches(context, { engine: 'PostgreSQL', at: (await server).url }))
      return [embedded, shared]
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

async function searches({ rounds, share, profiles, onProgress }: Context, argument: BazaarArgument): Promise<Figure> {
  const { engine } = argument
  const count = Math.ceil(listings * share)
  const role = startRole<unknown, BazaarCalls>(row, { argument, profiles, name: `${row}-${engine}` })
  return withRoles([role], async () => {
    const { call } = await role
    onProgress(`${count} listings on ${engine}`)
    await call('fill', count)
    onProgress(`searches on ${engine}`)
    const ours: number[] = []
    for (let round = 0; round <= rounds; round += 1) {
      const slowest = await call('search', Math.ceil(questions * share))
      if (round > 0) ours.push(slowest)
    }
    return figureOf({ row, figure: `search p95 at ${count.toLocaleString('en')} listings, ${engine}`, unit: 'ms', ours }, [
      atMost(50, 'ms'),
    ])
  })
}
