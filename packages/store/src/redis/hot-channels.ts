import { setTimeout as wait } from 'node:timers/promises'
import type { Channel, ChannelKey, ChannelStore } from '@flow402x/core'
import type { SettledChannels } from '../channels/channels.ts'
import { channelColumns, readChannel, writeChannel } from '../channels/row.ts'
import { storeErrors } from '../claims/errors.ts'
import type { RedisConnection } from './connection.ts'
import { changeHotScript, dropHotScript, flushedHotScript, loadHotScript, readHotScript } from './scripts.ts'
import { allSlots, slotOf, slotTag } from './slots.ts'

/** Where rows are kept for good, and when: each change before it is answered, or those that only move credit a little later. */
export type HotPlan = {
  readonly durable: SettledChannels
  readonly durability: 'sync' | 'fast'
  readonly onError: (error: unknown) => void
}

/** Channels whose rows are worked on in Redis. */
export interface HotChannels extends ChannelStore {
  /** Writes down what waits, whoever changed it. */
  flush(): Promise<void>
}

// Epochs of a row that was lost are never given again: so many changes do not happen between two flushes.
const generation = 65_536
// A row that nobody changes leaves Redis after this time (ms).
const idle = 3_600_000
// Who brings a row in has so long (ms), and the others look again after a pause.
const longestTurn = 2000
const pause = 5
const mostTries = 600

// `born` is the epoch that its generation began with.
type Hot = { readonly row: Channel; readonly born: number }

/**
 * Channels in Redis, in front of a database. A row is brought in by a change of the database itself, which takes a new generation of epochs:
 * whoever still remembers a row that Redis has lost, or works on the database without Redis, changes nothing with it. Nor does a Redis that
 * comes back with rows of a while ago: a row is good as long as the server runs that it was brought into.
 */
export function hotChannels({ client, prefix, run }: RedisConnection, { durable, durability, onError }: HotPlan): HotChannels {
  const dirtyIn = (slot: number): string => `${slotTag(prefix, slot)}channels`
  const nameOf = ({ side, id }: ChannelKey): string => `${side} ${id}`
  const keysOf = (name: string): readonly [string, string] => {
    const slot = slotOf(name)
    return [`${slotTag(prefix, slot)}channel:${name}`, dirtyIn(slot)]
  }
  async function standing(name: string): Promise<Hot | undefined> {
    const { born, server: _, ...fields } = fieldsIn(await run(readHotScript, { keys: keysOf(name), values: [name] }))
    if (born === undefined) return undefined
    const { owed_since, ...rest } = fields
    return { row: readChannel(owed_since === '' ? rest : fields), born: Number(born) }
  }
  async function find(key: ChannelKey): Promise<Channel | undefined> {
    const name = nameOf(key)
    for (let tries = 0; tries < mostTries; tries += 1) {
      const hot = await standing(name)
      if (hot !== undefined) return hot.row
      // One brings it in at a time: two would each take a generation, and only the last can be written down.
      const turn = `${keysOf(name)[0]}:turn`
      if ((await client.set(turn, 1, 'PX', longestTurn, 'NX')) === null) {
        await wait(pause)
        continue
      }
      try {
        const cold = (await standing(name)) === undefined ? await durable.find(key) : undefined
        if (cold === undefined) return (await standing(name))?.row
        const row = { ...cold, epoch: cold.epoch + generation }
        const isTaken = await durable.replace(row, { from: cold.epoch, to: cold.epoch })
        if (isTaken) await run(loadHotScript, { keys: keysOf(name), values: [idle, ...fieldsOf(row), 'born', row.epoch] })
      } finally {
        await client.del(turn)
      }
    }
    throw storeErrors('store/contended', { store: 'The hot channels', attempts: mostTries })
  }
  /** Writes one row down, and says whether it stands. What the database knows better is not Redis's to say: that row is brought in anew. */
  async function settle(name: string): Promise<boolean> {
    const hot = await standing(name)
    const [row, dirty] = keysOf(name)
    if (hot === undefined) {
      await client.srem(dirty, name)
      return false
    }
    const { epoch } = hot.row
    const isWritten = await durable.replace(hot.row, { from: hot.born, to: epoch - 1 })
    const cold = isWritten ? hot.row : await durable.find(hot.row)
    if (cold?.epoch === epoch) {
      await run(flushedHotScript, { keys: [row, dirty], values: [epoch, name, idle] })
      return true
    }
    const now = await standing(name)
    const isAhead = cold !== undefined && cold.epoch >= hot.born && now !== undefined && cold.epoch <= now.row.epoch
    if (isAhead) return true
    const isDropped = (await run(dropHotScript, { keys: [row, dirty], values: [epoch, name] })) === 1
    if (isDropped) onError(storeErrors('store/overtaken', { channel: hot.row.id }))
    return false
  }
  return {
    find,
    async open(channel) {
      await durable.open(channel)
      return (await find(channel)) ?? channel
    },
    async update(channel, next) {
      const name = nameOf(channel)
      const written = { ...next, side: channel.side, id: channel.id, epoch: channel.epoch + 1 }
      const change = { keys: keysOf(name), values: [channel.epoch, name, ...fieldsOf(written)] }
      if ((await run(changeHotScript, change)) !== 1) return undefined
      const mayWait = durability === 'fast' && movesCreditAlone(channel, next)
      if (!mayWait && !(await settle(name))) throw storeErrors('store/overtaken', { channel: channel.id })
      return written
    },
    async *list(options) {
      await flush()
      yield* durable.list(options)
    },
    flush,
  }

  async function flush(): Promise<void> {
    const waiting = await Promise.all(allSlots.map((slot) => client.smembers(dirtyIn(slot))))
    for (const names of waiting) await Promise.all(names.map((name) => settle(name)))
  }
}

/** Fields and values in turn, as scripts give them. */
function fieldsIn(given: unknown): Readonly<Record<string, string>> {
  const texts = Array.isArray(given) ? given.map(String) : []
  return Object.fromEntries(texts.flatMap((text, at) => (at % 2 === 0 ? [[text, texts[at + 1] ?? '']] : [])))
}

function fieldsOf(channel: Channel): (string | number)[] {
  return writeChannel(channel).flatMap((value, index) => [channelColumns[index] ?? '', value === null ? '' : String(value)])
}

/** Whether nothing else changed than what vouchers and lanes that are there move: all of it comes again with its payer's next voucher. */
function movesCreditAlone(channel: Channel, next: Channel): boolean {
  return channel.config === next.config && bound(channel) === bound(next)
}

function bound({ network, funds, refunding, claiming, held, lanes = [], filling }: Channel): string {
  const others = { network, funds, refunding, claiming, held, filling, lanes: lanes.map(({ id, epoch }) => [id, epoch]) }
  return JSON.stringify(others, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
}
