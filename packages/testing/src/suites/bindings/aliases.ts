import { Agent, request } from 'node:http'
import { expect, it } from 'vitest'
import type { Bench } from '../binding.ts'

const starts = ['', '/', '/../', '%2f', '\\', 'http://x/']
const ends = ['', '/', '//', '/.', '/./', '/../', '/..;/', '%2f', '%2F', '%5c', '\\', ';a=1', '%00', '%20', '%', '?', '#', 'http://x/', '*']
const middles = [
  '/authorization',
  'authorization',
  '/AUTHORIZATION',
  '/%61uthorization',
  '/authorization/echo',
  '/upfront/../authorization',
]

/** Every alias as it stands, unpaid, each over its own connection: the gate wraps the handler, so no two parts read a path differently (H3, A12). */
export function testBindingAliases(bench: Bench): void {
  it('no spelling of a path reaches its handler unpaid', async () => {
    bench.reset()
    bench.behave('json')
    const agent = new Agent({ maxSockets: 8 })
    const { hostname, port } = new URL(bench.url('/'))
    const visit = (path: string) =>
      new Promise<number>((resolve) => {
        const outgoing = request({ hostname, port, path, agent }, (answer) => {
          answer.resume().on('end', () => resolve(answer.statusCode ?? 0))
        })
        // Hanging up is a way to let nobody in.
        outgoing.on('error', () => resolve(0)).end()
      })
    const aliases = starts.flatMap((before) => middles.flatMap((middle) => ends.map((after) => `${before}${middle}${after}`)))
    const statuses = await Promise.all(aliases.map(visit))
    agent.destroy()
    expect(statuses.filter((status) => (status >= 200 && status < 300) || status >= 500)).toEqual([])
    expect(statuses).toContain(402)
    expect(bench.runs()).toBe(0)
  })
}
