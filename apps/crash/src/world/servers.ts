import { startPostgres, startRedis } from '@flow402x/testing/servers'
import type { Place } from './places.ts'

/** Books on a real server, which ends with `stop`. */
export type ServedPlaces = { readonly claims: Place; readonly journal?: Place; stop(): Promise<void> }

/** Both sides' books in one PostgreSQL. */
export async function postgresPlaces(): Promise<ServedPlaces> {
  const server = await startPostgres()
  const place: Place = { engine: 'PostgreSQL', at: server.url }
  return { claims: place, journal: place, stop: server.stop }
}

/** The seller's books in Redis; the facilitator's are in a file (M18). */
export async function redisPlaces(): Promise<ServedPlaces> {
  const server = await startRedis()
  return { claims: { engine: 'Redis', at: server.url }, stop: server.stop }
}
