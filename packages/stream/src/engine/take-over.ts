import type { LaneTerms } from '@flow402x/core/stream'
import type { Lane } from '../lane/lane.ts'
import type { LiveLane } from '../lane/live.ts'
import { engineErrors } from './errors.ts'
import { sliceOf } from './instance.ts'
import { problem, type StreamAnswer } from './request.ts'
import type { Route } from './streams.ts'

/** Whether a lane was opened for what this route sells: elsewhere its credit would buy at another price. */
export function isOf({ options }: Pick<Route, 'options'>, { route }: Pick<LaneTerms, 'route'>): boolean {
  return route === options.tickUrl
}

/** A lane for a transport that names it: one that is here, or taken from the instance that has it. */
export async function attach(route: Route, sid: string): Promise<Lane | undefined> {
  const { instance, sids } = route.engine
  const named = instance.named(sid)
  const found = named ?? ((await sids.isOurs(sid)) ? await takeOver(route, { sid, id: await sids.idOf(sid) }) : undefined)
  if (found === undefined || 'answer' in found || found.state() === 'ended' || !isOf(route, found.lane)) return undefined
  return found.hold()
}

// How often whoever wants a lane looks whether it is free, should nobody tell him (ms).
const lookEvery = 250
const patienceBeyond = 2000

/** Takes a lane from the instance that has it: that one writes its last checkpoint and lets go, or its lease ends. */
export async function takeOver(
  route: Route,
  { sid, id }: { readonly sid: string; readonly id: string },
): Promise<LiveLane | { readonly answer: StreamAnswer } | undefined> {
  const { engine, offers } = route
  const row = await engine.lanes.find(id)
  if (row === undefined || !isOf(route, row)) return undefined
  const over = (reason: string) => ({ answer: problem(engineErrors('stream/over', { reason }), { cors: engine.cors }) })
  if (row.state === 'ended') return over(row.reason ?? 'ended')
  const offer = offers.all.find(({ scheme }) => scheme.scheme === row.scheme && scheme.network === row.network)
  if (offer === undefined) return undefined
  const { instance } = engine
  const until = engine.monotonic() + Math.max(0, row.leaseUntil - engine.clock()) + patienceBeyond
  if (row.leaseUntil > engine.clock() && row.owner !== instance.owner) {
    await engine.lanes.want(id, instance.owner)
    await instance.tell(row.owner, `handover ${id} ${instance.owner}`)
  }
  for (;;) {
    const taken = await instance.take(id)
    if (taken !== undefined) {
      // A lane keeps the rate that it was opened with.
      const terms = { ...offer.terms, rate: taken.rate }
      const step = { id, channelId: taken.channelId, epoch: taken.epoch, used: taken.used, slice: sliceOf(terms, taken.grade) }
      const standing = await offer.rail.adopt(step)
      if ('reason' in standing) {
        await engine.lanes.checkpoint(instance.owner, [{ ...taken, state: 'ended', since: engine.clock(), reason: 'lost' }])
        return over('lost')
      }
      return instance.begin({ sid, row: taken, standing, terms, rail: offer.rail })
    }
    const here = instance.named(sid)
    if (here !== undefined) return here
    if (engine.monotonic() > until) return { answer: problem(engineErrors('stream/not-ready', {}), { cors: engine.cors, retryAfter: 2 }) }
    await instance.freed(id, lookEvery)
  }
}
