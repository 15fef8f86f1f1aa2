import type { Channel, ChannelKey, ChannelStore } from '@flow402x/core'
import { channelColumns, readChannel, writeChannel } from './row.ts'

/** Where a page keeps channels. */
export type BrowserChannelsOptions = {
  /** The database; `flow402x` unless told. */
  readonly name?: string
  readonly indexedDB?: IDBFactory
}

const table = 'channels'

/**
 * Channels of a web page (IndexedDB): all pages of its origin share them, each change is one transaction, and what was written is on disk.
 * Rejects with what the browser says where it keeps nothing, as in some private windows.
 */
export function browserChannels({ name = 'flow402x', indexedDB = globalThis.indexedDB }: BrowserChannelsOptions = {}): ChannelStore {
  let opening: Promise<IDBDatabase> | undefined

  function database(): Promise<IDBDatabase> {
    opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const asked = indexedDB.open(name, 1)
      asked.onupgradeneeded = () => asked.result.createObjectStore(table, { keyPath: ['side', 'id'] })
      asked.onerror = () => reject(asked.error)
      asked.onsuccess = () => resolve(asked.result)
    })
    // The next call tries again.
    opening.catch(() => {
      opening = undefined
    })
    return opening
  }

  /** Looks at a row and writes what comes of it, both in one transaction; gives what came once it is on disk. */
  async function change(key: ChannelKey, step: (found: Channel | undefined) => Channel | undefined): Promise<Channel | undefined> {
    const transaction = (await database()).transaction(table, 'readwrite', { durability: 'strict' })
    const rows = transaction.objectStore(table)
    const asked = rows.get([key.side, key.id])
    return await new Promise((resolve, reject) => {
      let result: Channel | undefined
      asked.onsuccess = () => {
        try {
          const found = asked.result === undefined ? undefined : readChannel(asked.result)
          const next = step(found)
          result = next ?? found
          if (next !== undefined) rows.put(rowOf(next))
        } catch (error) {
          transaction.abort()
          reject(error)
        }
      }
      transaction.onabort = () => reject(transaction.error)
      transaction.oncomplete = () => resolve(result)
    })
  }

  async function all(): Promise<readonly Channel[]> {
    const asked = (await database()).transaction(table).objectStore(table).getAll()
    return await new Promise((resolve, reject) => {
      asked.onerror = () => reject(asked.error)
      asked.onsuccess = () => {
        try {
          resolve(asked.result.map(readChannel))
        } catch (error) {
          reject(error)
        }
      }
    })
  }

  return {
    find: (key) => change(key, () => undefined),
    // What is given is what stands.
    open: async (channel) => (await change(channel, (found) => (found === undefined ? channel : undefined))) ?? channel,
    async update({ side, id, epoch }, next) {
      let written: Channel | undefined
      await change({ side, id }, (found) => {
        written = found?.epoch === epoch ? { ...next, side, id, epoch: epoch + 1 } : undefined
        return written
      })
      return written
    },
    async *list({ side, owed = false }) {
      yield* (await all()).filter((channel) => channel.side === side && (!owed || channel.owedSince !== undefined))
    },
  }
}

function rowOf(channel: Channel): Readonly<Record<string, unknown>> {
  const values = writeChannel(channel)
  return Object.fromEntries(channelColumns.map((column, at) => [column, values[at]]))
}
