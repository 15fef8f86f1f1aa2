import { once } from 'node:events'
import { networks } from '@flow402x/core'
import { sqliteStore } from '@flow402x/store/sqlite'
import { deliverWebhooks } from '@flow402x/store/webhook'
import { openMarketplace } from '../dev/marketplace.ts'
import { type Command, printJson, readArguments, type Terminal } from './command.ts'
import { cliErrors } from './errors.ts'
import { rpcVariable } from './rpc-url.ts'

const usage = 'flow402x bazaar [--port N] [--host ADDRESS] [--store FILE] [--name NAME] [--allow-loopback] [--json]'
const storeVariable = 'FLOW402X_BAZAAR_STORE'
const webhook = { url: 'FLOW402X_BAZAAR_WEBHOOK_URL', secret: 'FLOW402X_BAZAAR_WEBHOOK_SECRET' } as const

/** `flow402x bazaar`: a marketplace of one's own, which runs until it is interrupted. */
export const bazaar: Command = {
  summary: 'Hosts a marketplace: lists, searches, probes and rates paid resources.',
  usage: `${usage}

  --port N            8402 unless given
  --host ADDRESS      127.0.0.1 unless given: put it behind TLS before anyone else can reach it
  --caller-header H   the header in which your proxy says who asks, such as x-real-ip, for the limits
  --store FILE        an SQLite file, bazaar.db unless given; for PostgreSQL set ${storeVariable} to its URL
  --name NAME         what its pages call it
  --allow-loopback    for development: lists http servers of this machine too
  --json              prints one line of JSON, {"url": …}, on standard output and nothing else

Ratings are taken on every network whose node is named, such as ${rpcVariable('eip155:8453')}.
${webhook.url} and ${webhook.secret} name who is told of listings that come and go.
It runs until it is interrupted.`,
  async run(args, terminal) {
    const { values } = readArguments(args, { options, usage })
    const { env, note, signal } = terminal
    const store = await openStore(env[storeVariable] ?? values.store ?? 'bazaar.db')
    const { [webhook.url]: url, [webhook.secret]: secret } = env
    const deliverer = url === undefined ? undefined : deliverWebhooks(store.outbox, { url, secret: secret ?? '' })
    try {
      const market = await openMarketplace({
        store,
        rpcUrls: rpcUrlsIn(env),
        tell: deliverer !== undefined,
        fetching: { allowLoopback: values['allow-loopback'] ?? false },
        port: readPort(values.port),
        ...(values.host === undefined ? {} : { host: values.host }),
        ...(values.name === undefined ? {} : { name: values.name }),
        ...(values['caller-header'] === undefined ? {} : { callerHeader: values['caller-header'] }),
        onEvent: (event) =>
          note(event.type === 'looked' ? `${event.key}: ${event.state}, ${event.reason}` : `a ${event.what} failed: ${whyOf(event.error)}`),
      }).catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
          throw cliErrors('cli/port-taken', { port: readPort(values.port), cause: error })
        throw error
      })
      try {
        if (values.json) printJson(terminal, { url: market.url })
        else terminal.out(`A bazaar at ${market.url}\nIts interface: ${market.url}/openapi.json\n`)
        if (!signal.aborted) await once(signal, 'abort')
        note('stopping')
      } finally {
        await market.close()
      }
    } finally {
      await deliverer?.close()
      await store.close()
    }
    return 0
  },
}

const option = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const options = {
  port: option,
  host: option,
  'caller-header': option,
  store: option,
  name: option,
  'allow-loopback': flag,
  json: flag,
} as const

function readPort(text = '8402'): number {
  const port = Number.parseInt(text, 10)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw cliErrors('cli/usage', { why: `"${text}" is no port`, usage })
  return port
}

async function openStore(place: string) {
  if (!/^postgres(ql)?:/.test(place)) return sqliteStore(place)
  // Its driver is installed by those who have such a server.
  const { postgresStore } = await import('@flow402x/store/postgres')
  return postgresStore(place)
}

/** The networks that have a node named. */
function rpcUrlsIn(env: Terminal['env']): Readonly<Record<string, string>> {
  const named = networks.map(({ network }) => [network, env[rpcVariable(network)] ?? ''] as const)
  return Object.fromEntries(named.filter(([, url]) => url !== ''))
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
