import type { Channel, ChannelStore } from '@flow402x/core'
import { run, type SqlDatabase } from '../sql/database.ts'
import { channelColumns, readChannel, writeChannel } from './row.ts'

const columns = channelColumns.join(', ')

const select = `SELECT ${columns} FROM flow402x_channels WHERE side = ?1 AND id = ?2`
// Writing what stands gives it back.
const open = `INSERT INTO flow402x_channels (${columns}) VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (side, id) DO UPDATE SET side = excluded.side RETURNING ${columns}`
const update = `UPDATE flow402x_channels SET epoch = epoch + 1, owed_since = ?4, ledger = ?5
  WHERE side = ?1 AND id = ?2 AND epoch = ?3 RETURNING id`
const replace = `UPDATE flow402x_channels SET epoch = ?3, owed_since = ?4, ledger = ?5
  WHERE side = ?1 AND id = ?2 AND epoch BETWEEN ?6 AND ?7 RETURNING id`
const list = `SELECT ${columns} FROM flow402x_channels WHERE side = ?1 AND id > ?2 ORDER BY id LIMIT 64`
const listOwed = `SELECT ${columns} FROM flow402x_channels WHERE owed_since IS NOT NULL AND side = ?1 AND id > ?2 ORDER BY id LIMIT 64`

/** Books of channels that others may be ahead of. */
export interface SettledChannels extends ChannelStore {
  /** Puts a row with its own epoch in the place of one whose epoch is within these, both included; `false` where there is no such. */
  replace(next: Channel, epochs: { readonly from: number; readonly to: number }): Promise<boolean>
}

/** A store whose channels can stand behind a hot one. */
export type Settled = { readonly channels: SettledChannels }

/** Channels in SQL: one row each, which every change names with the epoch it starts from. */
export function sqlChannels(database: SqlDatabase): SettledChannels {
  return {
    async find({ side, id }) {
      const [row] = await database.query(run(select, [side, id]))
      return row === undefined ? undefined : readChannel(row)
    },
    async open(channel) {
      const [row = {}] = await database.query(run(open, writeChannel(channel)))
      return readChannel(row)
    },
    async update({ side, id, epoch }, next) {
      const changed = await database.query(run(update, writeChannel({ ...next, side, id, epoch })))
      return changed.length === 0 ? undefined : { ...next, side, id, epoch: epoch + 1 }
    },
    async replace(next, { from, to }) {
      return (await database.query(run(replace, [...writeChannel(next), from, to]))).length > 0
    },
    async *list({ side, owed = false }) {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const channels: readonly Channel[] = (await database.query(run(owed ? listOwed : list, [side, after]))).map(readChannel)
        yield* channels
        after = channels.at(-1)?.id
      }
    },
  }
}
