import type { LaneInbox, LaneRow, LaneStore } from '../store/lanes.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Lanes in the memory of one process. */
export function memoryLanes(): LaneStore {
  const lanes = new Map<string, LaneRow>()
  const held = (id: string, owner: string, epoch: number): LaneRow | undefined => {
    const lane = lanes.get(id)
    return lane?.owner === owner && lane.epoch === epoch && lane.state !== 'ended' ? lane : undefined
  }
  return {
    async open(lane) {
      if (lanes.has(lane.id)) return false
      lanes.set(lane.id, lane)
      return true
    },
    async find(id) {
      return lanes.get(id)
    },
    async checkpoint(owner, checkpoints) {
      return checkpoints.flatMap(({ reason, ...progress }) => {
        const lane = held(progress.id, owner, progress.epoch)
        if (lane === undefined) return [progress.id]
        lanes.set(lane.id, { ...lane, ...progress, ...(reason === undefined ? {} : { reason }) })
        return []
      })
    },
    async renew(owner, { now, until }) {
      return [...lanes.values()].flatMap((lane) => {
        if (lane.owner !== owner || lane.leaseUntil <= now || lane.state === 'ended') return []
        lanes.set(lane.id, { ...lane, leaseUntil: until })
        return [{ id: lane.id, ...(lane.wanted === undefined ? {} : { wanted: lane.wanted }) }]
      })
    },
    async want(id, by) {
      const lane = lanes.get(id)
      if (lane !== undefined) lanes.set(id, { ...lane, wanted: by })
    },
    async release(owner, { reason, ...progress }) {
      const lane = held(progress.id, owner, progress.epoch)
      if (lane === undefined) return false
      lanes.set(lane.id, { ...lane, ...progress, ...(reason === undefined ? {} : { reason }), leaseUntil: 0 })
      return true
    },
    async take(id, { owner, now, until }) {
      const lane = lanes.get(id)
      if (lane === undefined || lane.state === 'ended' || lane.leaseUntil > now) return undefined
      const { wanted, ...rest } = lane
      const taken: LaneRow = { ...rest, owner, epoch: lane.epoch + 1, leaseUntil: until }
      lanes.set(id, taken)
      return taken
    },
    async *abandoned(before) {
      yield* [...lanes.values()].filter(({ state, leaseUntil, since }) => state !== 'ended' && leaseUntil < before && since < before)
    },
    async purge(before) {
      const old = [...lanes.values()].filter(({ state, since }) => state === 'ended' && since < before)
      for (const { id } of old) lanes.delete(id)
      return old.length
    },
    inbox: laneInbox(),
  }
}

/** Messages between the instances of one process. */
export function laneInbox(): LaneInbox {
  const listeners = new Map<string, (message: string) => void>()
  return {
    async tell(owner, message) {
      const hear = listeners.get(owner)
      if (hear !== undefined) queueMicrotask(() => hear(message))
    },
    async listen(owner, hear) {
      listeners.set(owner, hear)
      return async () => void listeners.delete(owner)
    },
  }
}
