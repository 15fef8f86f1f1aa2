import type { ViewKey, ViewStore } from '@flow402x/core/stream'
import { grantColumns, readGrant, writeGrant } from '../claims/grant.ts'
import type { RedisConnection } from './connection.ts'
import { forgetViewScript, putViewScript } from './scripts.ts'
import { allSlots, slotOf, slotTag } from './slots.ts'

/** Grants of views in Redis: a hash for each viewer of a resource, listed in its slot by when it expires. */
export function redisViews({ client, prefix, run }: RedisConnection): ViewStore {
  const expiring = (slot: number): string => `${slotTag(prefix, slot)}views`
  const keysOf = ({ resource, viewer }: ViewKey): readonly [string, string] => {
    const name = JSON.stringify([resource, viewer])
    const slot = slotOf(name)
    return [`${slotTag(prefix, slot)}view:${name}`, expiring(slot)]
  }
  return {
    async find(key) {
      const row = await client.hgetall(keysOf(key)[0])
      return row.epoch === undefined ? undefined : readGrant(row)
    },
    async put(next) {
      const fields = writeGrant(next).flatMap((value, index) => [grantColumns[index] ?? '', value ?? ''])
      return (await run(putViewScript, { keys: keysOf(next), values: [next.epoch - 1, next.expires, ...fields] })) === 1
    },
    async purge(before) {
      let forgotten = 0
      for (const slot of allSlots) {
        for (const key of await client.zrangebyscore(expiring(slot), '-inf', `(${before}`))
          forgotten += Number(await run(forgetViewScript, { keys: [key, expiring(slot)], values: [before] }))
      }
      return forgotten
    },
  }
}
