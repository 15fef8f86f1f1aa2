import type { ServerResponse } from 'node:http'
import type { Sent } from '../engine/run.ts'

/**
 * Says how a response left: handed over to its last byte, or its reader went away after the first, which counts as much (M9). One that
 * its own side broke off has not left, nor has one whose reader was gone before.
 */
export function watchDeparture(response: ServerResponse, sent: Sent | undefined): void {
  if (sent === undefined) return
  if (response.destroyed) return void sent(false)
  const departure = departureOf(response)
  // Only the first counts.
  response.on('finish', () => void sent(true)).on('close', () => void sent(!departure.isBroken))
}

const departing = Symbol('departing')
type Departure = { readonly destroy: ServerResponse['destroy']; isBroken: boolean }
type Watched = ServerResponse & { readonly [departing]: Departure }

/** One for each response, however many gates watch it. */
function departureOf(response: ServerResponse & { readonly [departing]?: Departure }): Departure {
  const known = response[departing]
  if (known !== undefined) return known
  const departure: Departure = { destroy: response.destroy, isBroken: false }
  Object.assign(response, { [departing]: departure, destroy: destroyWatched })
  return departure
}

// The same for all: a method that were each response's own would keep all of its request until the next full collection of garbage.
function destroyWatched(this: Watched, ...given: Parameters<ServerResponse['destroy']>) {
  const departure = this[departing]
  // Those who read along destroy what has closed.
  departure.isBroken ||= !this.destroyed
  return Reflect.apply(departure.destroy, this, given)
}
