import type { Server } from 'node:http'
import type { Express } from 'express'

/** What a program is told: the stub that a seller asks, the chain and key of a facilitator, and who is paid. */
export type ProgramArgument = {
  readonly facilitatorUrl: string
  readonly rpcUrl: string
  readonly key: `0x${string}`
  readonly payTo: string
}

/** The argument of this program. */
export const argument: ProgramArgument = JSON.parse(process.argv[2] ?? '{}')

/** Listens, and says so to the process that started this one. */
export function announce(app: Express): void {
  const server: Server = app.listen(0, '127.0.0.1', () => {
    const address = server.address()
    announceUrl(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`)
  })
}

/** Says that something listens, and tells how much memory is resident whenever that is asked. */
export function announceUrl(url: string): void {
  process.send?.({ ready: { url } })
  process.on('message', ({ id }: { readonly id: number }) => {
    process.send?.({ id, result: { cpu: 0, memory: process.memoryUsage.rss() } })
  })
  process.once('disconnect', () => process.exit(0))
}
