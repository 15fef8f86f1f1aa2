import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient, receiptOf } from '@flow402x/client'
import type { EvmChain } from '@flow402x/testing'
import { freePort } from '@flow402x/testing/servers'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startEvmWorld } from './chains/evm.ts'
import type { World } from './world.ts'

type Runtime = {
  readonly name: string
  readonly binary: string
  readonly entry: string
  readonly command: (script: string, port: number) => Promise<readonly string[]>
}

const route = `const route = (request) => (new URL(request.url).pathname === '/stream' ? stream(request) : sell(request))`
const entry = (serve: string) => `import { sell, stream } from './runtime-seller.ts'\n${route}\n${serve}`

const runtimes: readonly Runtime[] = [
  {
    name: 'Bun',
    binary: '@oven/bun-linux-x64/bin/bun',
    entry: entry('Bun.serve({ hostname: "127.0.0.1", port: Number(process.argv[2]), fetch: route })'),
    command: async (script, port) => ['run', script, String(port)],
  },
  {
    name: 'Deno',
    binary: '@deno/linux-x64-glibc/deno',
    entry: entry('Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0]) }, route)'),
    command: async (script, port) => ['run', '--no-remote', '--no-config', '--allow-net', '--allow-env', script, String(port)],
  },
  {
    name: 'Workers',
    binary: '@cloudflare/workerd-linux-64/bin/workerd',
    entry: entry('export default { fetch: route }'),
    command: async (script, port) => ['serve', await workerdConfig(script), `--socket-addr=http=127.0.0.1:${port}`],
  },
]

let world: World<EvmChain>
let folder: string
beforeAll(async () => {
  world = await startEvmWorld()
  folder = await mkdtemp(path.join(tmpdir(), 'flow402x-runtimes-'))
})
afterAll(async () => {
  await world?.close()
  await rm(folder, { recursive: true, force: true })
})

for (const runtime of runtimes) {
  const binary = installed(runtime.binary)
  const why = binary === undefined ? ` (skipped: ${runtime.binary.split('/').slice(0, 2).join('/')} is not installed on this platform)` : ''
  describe.skipIf(binary === undefined)(`the fetch binding on ${runtime.name}${why}`, () => {
    let child: ChildProcess
    let url: string
    beforeAll(async () => {
      const port = await freePort()
      const script = await bundle(runtime)
      child = spawn(binary ?? '', await runtime.command(script, port), { stdio: ['ignore', 'inherit', 'inherit'] })
      url = `http://127.0.0.1:${port}`
      await vi.waitFor(async () => expect((await fetch(url)).status).toBe(402), { interval: 100 })
    })
    afterAll(async () => {
      if (child === undefined || child.exitCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })

    it('sells a POST with its body, and a stream that was paid before', async () => {
      const { chain } = world
      const client = createClient({ schemes: [exactEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })] })
      const before = await chain.balanceOf(chain.seller.address)
      const answer = await client.fetch(url, { method: 'POST', body: 'straight through' })
      expect([answer.status, await answer.json()]).toEqual([200, { runtime: expect.any(String), body: 'straight through' }])
      expect(receiptOf(answer)?.transaction).toMatch(/^0x[0-9a-f]{64}$/)
      const streamed = await client.fetch(`${url}/stream?word=piece%20&word=by%20&word=piece`)
      expect([streamed.status, await streamed.text()]).toEqual([200, 'piece by piece'])
      expect((await chain.balanceOf(chain.seller.address)) - before).toBe(30_000n)
    })

    it('refuses garbage, and asks a browser what it may send', async () => {
      expect((await fetch(url, { headers: { 'PAYMENT-SIGNATURE': 'no base64' } })).status).toBe(400)
      const preflight = await fetch(url, {
        method: 'OPTIONS',
        headers: { 'Access-Control-Request-Method': 'POST', Origin: 'https://page.test' },
      })
      expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([
        204,
        expect.stringContaining('PAYMENT-SIGNATURE'),
      ])
    })
  })
}

function installed(binary: string): string | undefined {
  const [scope, name, ...rest] = binary.split('/')
  try {
    const manifest = createRequire(import.meta.url).resolve(`${scope}/${name}/package.json`)
    return path.join(path.dirname(manifest), ...rest)
  } catch {
    return undefined
  }
}

async function bundle({ name, entry: contents }: Runtime): Promise<string> {
  const outfile = path.join(folder, `${name.toLowerCase()}.mjs`)
  const peer = world.facilitators['ours, HTTP']
  await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['@flow402x/source'],
    define: { FACILITATOR_URL: JSON.stringify(peer.url), PAY_TO: JSON.stringify(world.chain.seller.address) },
    outfile,
  })
  return outfile
}

async function workerdConfig(script: string): Promise<string> {
  const config = path.join(folder, 'config.capnp')
  await writeFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (modules = [(name = "worker", esModule = embed "${path.basename(script)}")], compatibilityDate = "2026-01-01", globalOutbound = "loopback")),
    (name = "loopback", network = (allow = ["local", "private"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
`,
  )
  return config
}
