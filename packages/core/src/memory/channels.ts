import type { Channel, ChannelKey } from '../channel/channel.ts'
import type { ChannelStore } from '../store/store.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Channels in the memory of one process. */
export function memoryChannels(): ChannelStore {
  const channels = new Map<string, Channel>()
  return {
    async find(key) {
      return channels.get(nameOf(key))
    },
    async open(channel) {
      const found = channels.get(nameOf(channel))
      if (found === undefined) channels.set(nameOf(channel), channel)
      return found ?? channel
    },
    async update(channel, next) {
      if (channels.get(nameOf(channel))?.epoch !== channel.epoch) return undefined
      const written = { ...next, side: channel.side, id: channel.id, epoch: channel.epoch + 1 }
      channels.set(nameOf(channel), written)
      return written
    },
    async *list({ side, owed = false }) {
      const all = [...channels.values()].filter((channel) => channel.side === side && (!owed || channel.owedSince !== undefined))
      yield* all
    },
  }
}

function nameOf({ side, id }: ChannelKey): string {
  return `${side} ${id}`
}
