import type { Store } from '@flow402x/core'
import type { Settled } from '../channels/channels.ts'
import { connectRedis, type RedisOptions, type RedisSource } from './connection.ts'
import { hotChannels } from './hot-channels.ts'

/** How channels are kept hot. */
export type HotStoreOptions<Books extends Settled> = RedisOptions & {
  /** The store whose channels they are, in PostgreSQL: everything else is its own, and what Redis loses is brought in from it. */
  readonly store: Books
  /**
   * `sync`, unless told: what is answered is in the database. `fast`: vouchers of lanes that are open are answered once they are in Redis, and
   * written down within `flushEvery`. A crash of Redis forgets those of that time; honest payers present them again with their next one.
   */
  readonly durability?: 'sync' | 'fast'
  /** In milliseconds: 250 unless told. */
  readonly flushEvery?: number
  /** Hears what could not be written down, and is tried again. */
  readonly onError?: (error: unknown) => void
}

/**
 * A store whose channels are worked on in Redis and kept in its database (streaming.md §8.2). All processes of a seller, those that settle
 * as well, use the same Redis and prefix, or none.
 *
 * At `close` it writes down what waits and lets go of Redis; the store behind it stays open.
 *
 * Errors: `config/store-not-durable` unless every server has `maxmemory-policy noeviction`; `config/store-unreachable`; from operations
 * `store/overtaken`, `store/contended`, and those of the store.
 */
export async function hotStore<Books extends Settled & Pick<Store, 'close'>>(
  source: RedisSource,
  { store, durability = 'sync', flushEvery = 250, onError = () => {}, ...options }: HotStoreOptions<Books>,
): Promise<Omit<Books, 'channels'> & Pick<Store, 'channels'>> {
  const connection = await connectRedis(source, { ...options, duty: 'budgets' })
  const channels = hotChannels(connection, { durable: store.channels, durability, onError })
  let flushing: Promise<void> | undefined
  const timer = setInterval(() => {
    flushing ??= channels
      .flush()
      .catch(onError)
      .finally(() => {
        flushing = undefined
      })
  }, flushEvery)
  timer.unref()
  return {
    ...store,
    channels,
    async close() {
      clearInterval(timer)
      await flushing
      await channels.flush()
      await connection.close()
    },
  }
}
