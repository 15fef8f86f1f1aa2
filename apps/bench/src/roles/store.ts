import type { Store } from '@flow402x/core'
import { postgresStore } from '@flow402x/store/postgres'
import { redisStore } from '@flow402x/store/redis'
import { sqliteStore } from '@flow402x/store/sqlite'
import { signPayments } from '../houses/ours.ts'
import { requirementsFor } from '../houses/terms.ts'
import { inFlight, playRole, roleArgument } from '../measure/part.ts'

/** Which engine, at which file or URL. */
export type StoreArgument = {
  readonly engine: 'SQLite' | 'PostgreSQL' | 'Redis'
  readonly at: string
  readonly key: string
  readonly payTo: string
}

/** How many claims to take, and how many of them at once. */
export type Claiming = { readonly count: number; readonly most: number }

/** Gives claims per second. */
export type StoreCalls = { claim(claiming: Claiming): Promise<number> }

const { engine, at, key, payTo } = roleArgument<StoreArgument>()
const store = await open()
const [submission] = await signPayments(key, { requirements: requirementsFor(payTo), count: 1 })
const run = crypto.randomUUID()
let claims = 0

playRole(
  {},
  {
    async claim({ count, most }: Claiming): Promise<number> {
      if (submission === undefined) return Number.NaN
      const began = performance.now()
      await inFlight({ count, most }, async () => {
        claims += 1
        const name = `${run}-${claims}`
        const now = Date.now()
        const granted = await store.claims.claim(
          {
            key: { id: `payment ${name}`, payer: payTo, deadAfter: now / 1000 + 300 },
            binding: 'GET goods',
            claimId: name,
            submission,
            now,
            leaseUntil: now + 30_000,
          },
          { maxAttempts: 3 },
        )
        if (!granted.granted) throw new Error(`The store refused the fresh claim ${name}.`)
      })
      return count / ((performance.now() - began) / 1000)
    },
  },
)

async function open(): Promise<Pick<Store, 'claims'>> {
  if (engine === 'SQLite') return sqliteStore(at)
  return engine === 'PostgreSQL' ? postgresStore(at) : redisStore(at)
}
