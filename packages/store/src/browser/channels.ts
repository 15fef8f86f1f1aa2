import type { Channel, ChannelStore } from '@flow402x/core'
import { channelColumns, readChannel, writeChannel } from '../channels/row.ts'
import { type BrowserStoreOptions, browserTable } from './database.ts'

/**
 * Channels of a web page (IndexedDB): all pages of its origin share them, each change is one transaction, and what was written is on disk.
 * Rejects with what the browser says where it keeps nothing, as in some private windows.
 */
export function browserChannels({ name = 'flow402x', indexedDB }: BrowserStoreOptions = {}): ChannelStore {
  const channels = browserTable<Channel>({
    database: { name, ...(indexedDB && { indexedDB }) },
    table: 'channels',
    keyPath: ['side', 'id'],
    read: readChannel,
    write: rowOf,
  })
  const change = ({ side, id }: Pick<Channel, 'side' | 'id'>, step: (found: Channel | undefined) => Channel | undefined) =>
    channels.change([side, id], step)

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
      yield* (await channels.all()).filter((channel) => channel.side === side && (!owed || channel.owedSince !== undefined))
    },
  }
}

function rowOf(channel: Channel): Readonly<Record<string, unknown>> {
  const values = writeChannel(channel)
  return Object.fromEntries(channelColumns.map((column, at) => [column, values[at]]))
}
