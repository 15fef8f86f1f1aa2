import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@flow402x/testing/servers'
import { startRole, withRoles } from '../../measure/role.ts'
import { atMost, type Context, type Figure, figureOf, type Row } from '../../report/figure.ts'
import type { BazaarArgument, BazaarCalls } from '../../roles/bazaar.ts'

const row = 'bazaar'
const listings = 100_000
const questions = 200

/** How long a search takes in a large marketplace, ranked and read, with the filters that buyers use. */
export const bazaar: Row = {
  name: row,
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
    try {
      const server = startPostgres()
      return await withRoles([server], async () => {
        const engines: readonly BazaarArgument[] = [
          { engine: 'SQLite', at: join(folder, 'bazaar.db') },
          { engine: 'PostgreSQL', at: (await server).url },
        ]
        return searches(context, engines)
      })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** Both are filled at once, since that is not measured, and then searched in turn. */
async function searches({ rounds, share, profiles, onProgress }: Context, engines: readonly BazaarArgument[]): Promise<Figure[]> {
  const count = Math.ceil(listings * share)
  const roles = engines.map((argument) => startRole<unknown, BazaarCalls>(row, { argument, profiles, name: `${row}-${argument.engine}` }))
  return withRoles(roles, async () => {
    onProgress(`${count} listings on ${engines.map(({ engine }) => engine).join(' and ')}`)
    const filled = await Promise.all(roles)
    await Promise.all(filled.map(({ call }) => call('fill', count)))
    const figures: Figure[] = []
    for (const [index, { call }] of filled.entries()) {
      const engine = engines[index]?.engine ?? ''
      onProgress(`searches on ${engine}`)
      const ours: number[] = []
      for (let round = 0; round <= rounds; round += 1) {
        const slowest = await call('search', Math.ceil(questions * share))
        if (round > 0) ours.push(slowest)
      }
      const figure = `search p95 at ${count.toLocaleString('en')} listings, ${engine}`
      figures.push(figureOf({ row, figure, unit: 'ms', ours }, [atMost(50, 'ms')]))
    }
    return figures
  })
}
