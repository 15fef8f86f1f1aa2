import { createHash } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { storeErrors } from '../claims/errors.ts'

/** A client of `ioredis`: of one server, or of a cluster. */
export type RedisClient = Redis | Cluster

/** Where Redis is: the URL of a server, the URLs of some nodes of a cluster, or a client of the caller's. */
export type RedisSource = string | readonly string[] | RedisClient

/** `prefix` begins every key; `flow402x` where nothing is said. Stores of one prefix are one store. */
export type RedisOptions = { readonly prefix?: string; readonly signal?: AbortSignal | undefined }

/** What the stores ask of Redis: scripts, reads, and keys in slots. */
export type RedisConnection = {
  readonly client: RedisClient
  readonly prefix: string
  /** Runs a script by its digest, sending it where the server does not have it yet. */
  run(
    script: string,
    input: { readonly keys: readonly string[]; readonly values: readonly (string | number | Uint8Array)[] },
  ): Promise<unknown>
  close(): Promise<void>
}

/** What a server must promise. `claims` also asks for an append-only file that is synchronised with every write. */
export type RedisDuty = 'claims' | 'budgets'

/** Connects, and checks what every server of it promises. Errors: `config/store-not-durable`; what `ioredis` throws. */
export async function connectRedis(
  source: RedisSource,
  { duty, prefix = 'flow402x', signal }: RedisOptions & { readonly duty: RedisDuty },
): Promise<RedisConnection> {
  signal?.throwIfAborted()
  const client = typeof source === 'string' || 'length' in source ? ownClient(source) : source
  const close = async () => {
    if (client !== source) await client.quit()
  }
  try {
    if (client !== source) await connected(client)
    const servers = 'nodes' in client ? client.nodes('all') : [client]
    for (const server of servers) await assertDurable(server, duty)
    signal?.throwIfAborted()
  } catch (error) {
    if (client !== source) client.disconnect()
    throw error
  }
  return {
    client,
    prefix,
    close,
    run: (script, { keys, values }) => runScript(client, script, [...keys, ...values.map(sendable)], keys.length),
  }
}

function ownClient(source: string | readonly string[]): RedisClient {
  const redisOptions = { lazyConnect: true, maxRetriesPerRequest: 2 }
  // What fails is told to who asked; without a listener it would be printed as well.
  const ignore = () => {}
  if (typeof source === 'string') return new Redis(source, redisOptions).on('error', ignore)
  return new Cluster([...source], { lazyConnect: true, redisOptions }).on('error', ignore)
}

async function connected(client: RedisClient): Promise<void> {
  let why = ''
  // What `connect` rejects with is only that the connection is closed.
  const note = (error: Error) => {
    why = error.message
  }
  if (client instanceof Redis) client.once('error', note)
  else client.once('node error', note)
  await client.connect().catch((cause: unknown) => {
    throw storeErrors('config/store-unreachable', { store: 'Redis', why: why === '' ? String(cause) : why, cause })
  })
}

const digests = new Map<string, string>()

async function runScript(client: RedisClient, script: string, input: readonly (string | Buffer)[], keys: number): Promise<unknown> {
  const digest = digests.get(script) ?? createHash('sha1').update(script).digest('hex')
  digests.set(script, digest)
  try {
    return await client.callBuffer('evalsha', [digest, keys, ...input])
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return await client.callBuffer('eval', [script, keys, ...input])
  }
}

function sendable(value: string | number | Uint8Array): string | Buffer {
  if (typeof value !== 'object') return String(value)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** M18, DESIGN §6: nothing is evicted, and claims are on disk before they are answered. */
async function assertDurable(server: Redis, duty: RedisDuty): Promise<void> {
  const promises = { 'maxmemory-policy': 'noeviction', ...(duty === 'claims' ? { appendonly: 'yes', appendfsync: 'always' } : {}) }
  for (const [setting, wanted] of Object.entries(promises)) {
    const answer = await server.config('GET', setting).catch((error: unknown) => String(error))
    const value = Array.isArray(answer) ? String(answer[1]) : String(answer)
    if (value === wanted) continue
    throw storeErrors('config/store-not-durable', {
      store: `Redis at ${server.options.host}:${server.options.port}`,
      why: `${setting} is "${value}" and must be "${wanted}"`,
      fix: duty === 'claims' ? 'Set it, or keep claims in PostgreSQL and only budgets in Redis (redisBudgets).' : 'Set it.',
    })
  }
}
