import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './child.ts'
import { serverFolder, startServer, type TestServer } from './server.ts'

/** Settings of `redis-server`, as its command line takes them. */
export type RedisSettings = Readonly<Record<string, string>>

const durable: RedisSettings = { appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' }

/** Whether there is a `redis-server`: no npm package carries one. */
export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0
}

/** Starts a Redis that writes every change to disk before it answers, unless `settings` say otherwise. Errors: `testing/server-exited`. */
export async function startRedis(options: { readonly settings?: RedisSettings } = {}): Promise<TestServer> {
  const port = await freePort()
  const folder = await serverFolder('redis', {})
  const settings = { port: String(port), bind: '127.0.0.1', dir: folder, save: '', daemonize: 'no', ...durable, ...options.settings }
  return startServer({
    url: `redis://127.0.0.1:${port}`,
    folder,
    command: 'redis-server',
    arguments: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    ready: /Ready to accept connections/,
    runAs: {},
  })
}

/** Three nodes that share the slots of a cluster; `urls` names all of them. */
export type RedisCluster = { readonly urls: readonly string[]; crash(): Promise<void>; stop(): Promise<void> }

const slotCount = 16_384

/** Starts a cluster of three Redis nodes, as durable as one alone, and resolves when each of them answers for all slots. Errors: `testing/server-exited`. */
export async function startRedisCluster({ settings }: { readonly settings?: RedisSettings } = {}): Promise<RedisCluster> {
  const nodes = await Promise.all([0, 1, 2].map(() => startNode(settings)))
  const [first] = nodes
  for (const [index, node] of nodes.entries()) {
    const from = Math.ceil((slotCount * index) / nodes.length)
    const to = Math.ceil((slotCount * (index + 1)) / nodes.length) - 1
    await ask(node.port, `CLUSTER ADDSLOTSRANGE ${from} ${to}`)
    await ask(node.port, `CLUSTER SET-CONFIG-EPOCH ${index + 1}`)
    if (node !== first) await ask(first?.port ?? 0, `CLUSTER MEET 127.0.0.1 ${node.port} ${node.bus}`)
  }
  await Promise.all(nodes.map(({ port }) => agreed(port, nodes.length)))
  return {
    urls: nodes.map(({ server }) => server.url),
    async crash() {
      await Promise.all(nodes.map(({ server }) => server.crash()))
      await Promise.all(nodes.map(({ port }) => agreed(port, nodes.length)))
    },
    async stop() {
      await Promise.all(nodes.map(({ server }) => server.stop()))
    },
  }
}

type Node = { readonly server: TestServer; readonly port: number; readonly bus: number }

async function startNode(own: RedisSettings | undefined): Promise<Node> {
  const bus = await freePort()
  const settings = {
    'cluster-enabled': 'yes',
    'cluster-port': String(bus),
    'cluster-node-timeout': '2000',
    'cluster-allow-replica-migration': 'no',
    ...own,
  }
  const server = await startRedis({ settings })
  return { server, bus, port: Number(new URL(server.url).port) }
}

async function agreed(port: number, nodes: number): Promise<void> {
  for (;;) {
    const info = await ask(port, 'CLUSTER INFO')
    if (info.includes('cluster_state:ok') && info.includes(`cluster_size:${nodes}`)) return
    await wait(20)
  }
}

/** One command in Redis' inline form, and the text of its answer. */
async function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
    socket.setEncoding('utf8').once('error', reject)
    socket.once('data', (text) => {
      socket.destroy()
      resolve(String(text))
    })
  })
}
