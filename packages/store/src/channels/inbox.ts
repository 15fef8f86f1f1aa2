import type { LaneInbox } from '@flow402x/core/stream'
import { Client } from 'pg'

// PostgreSQL takes at most 63 letters as a name and 8,000 bytes as a message; an owner is a UUID and a message short.
const nameOf = (owner: string): string => `flow402x_${owner.replaceAll('-', '_')}`
const retryAfter = 1000

/**
 * Messages between the instances that share a PostgreSQL, by NOTIFY: one connection for each that listens, none that asks. What is told
 * while it is broken is lost, and heard of with the next renewal.
 */
export function postgresInbox(url: string, ask: (text: string, values: readonly string[]) => Promise<unknown>): LaneInbox {
  return {
    async tell(owner, message) {
      await ask('SELECT pg_notify(?1, ?2)', [nameOf(owner), message])
    },
    async listen(owner, hear) {
      let client: Client | undefined
      let isOver = false
      let timer: ReturnType<typeof setTimeout> | undefined
      const connect = async (): Promise<void> => {
        const fresh = new Client({ connectionString: url })
        const again = (): void => {
          if (isOver || client !== fresh) return
          client = undefined
          fresh.end().catch(() => {})
          timer = setTimeout(() => void connect(), retryAfter)
          timer.unref()
        }
        client = fresh
        fresh.on('error', again).on('end', again)
        fresh.on('notification', ({ payload = '' }) => hear(payload))
        try {
          await fresh.connect()
          await fresh.query(`LISTEN "${nameOf(owner)}"`)
        } catch {
          again()
        }
      }
      await connect()
      return async () => {
        isOver = true
        clearTimeout(timer)
        await client?.end().catch(() => {})
      }
    },
  }
}
