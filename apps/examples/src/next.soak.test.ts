import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { batchSettlementClient, exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient, receiptOf, streamWallet } from '@flow402x/client'
import { paymentRequiredHeader } from '@flow402x/core'
import { payStream } from '@flow402x/stream/client'
import { verifies } from '@flow402x/testing/requirements'
import { build } from 'esbuild'
import { type Dev, startDev } from 'flow402x'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

// Next weighs 340 MB and takes a minute to build: too much for every clone and every test run. So it is no dependency of this repository: the
// long tests install this version of it beside them, and nothing but that install needs a network.
const packages = { next: '16.4.6', react: '19.2.0', 'react-dom': '19.2.0' }
const folder = mkdtempSync(join(tmpdir(), 'flow402x-next-'))
const quiet = { NEXT_TELEMETRY_DISABLED: '1', CI: '1' }

const routes = {
  'app/weather/[place]/route.js':
    'export const GET = (...asked) => shop().weather(...asked)\nexport const POST = GET\nexport const OPTIONS = GET',
  'app/live/route.js': 'export const GET = (...asked) => shop().live(...asked)\nexport const OPTIONS = GET',
  'app/live/tick/route.js': 'export const POST = (...asked) => shop().tick(...asked)\nexport const OPTIONS = POST',
  'app/sources/route.js': 'export const GET = () => Response.json(shop().sources())',
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}

/** Installs Next, and says why where that cannot be done. */
function install(): string | undefined {
  write('package.json', JSON.stringify({ private: true, type: 'module', dependencies: packages }))
  const { status, stderr } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder, encoding: 'utf8' })
  return status === 0 ? undefined : `skipped: npm installs no Next here: ${stderr.split('\n').find((line) => line.includes('npm error'))}`
}
const missing = install()

describe.skipIf(missing !== undefined)(
  `a Next application, built and started${missing === undefined ? '' : ` (${missing})`}`,
  { timeout: 60_000 },
  () => {
    let dev: Dev
    let next: ChildProcess | undefined
    let site = ''

    beforeAll(async () => {
      dev = await startDev({ networks: ['base-sepolia'] })
      const { outputFiles } = await build({
        entryPoints: [fileURLToPath(new URL('./next-seller.ts', import.meta.url))],
        bundle: true,
        format: 'esm',
        platform: 'node',
        conditions: ['@flow402x/source'],
        write: false,
      })
      write('seller.js', outputFiles[0]?.text ?? '')
      write('next.config.js', 'export default { turbopack: { root: import.meta.dirname } }\n')
      for (const [path, text] of Object.entries(routes)) {
        const up = '../'.repeat(path.split('/').length - 1)
        write(
          path,
          `import { shop } from '${up}seller.js'\nexport const runtime = 'nodejs'\nexport const dynamic = 'force-dynamic'\n${text}\n`,
        )
      }
      const built = run(['build'])
      const said: string[] = []
      built.stdout?.on('data', (chunk) => said.push(String(chunk)))
      built.stderr?.on('data', (chunk) => said.push(String(chunk)))
      const [code] = await once(built, 'exit')
      if (code !== 0) throw new Error(`next build failed:\n${said.join('')}`)
      const port = await freePort()
      next = run(['start', '-H', '127.0.0.1', '-p', `${port}`])
      site = `http://127.0.0.1:${port}`
      await vi.waitFor(async () => expect((await fetch(`${site}/sources`)).status).toBe(200), { timeout: 60_000, interval: 200 })
    }, 400_000)

    afterAll(async () => {
      if (next !== undefined && next.exitCode === null) {
        next.kill()
        await once(next, 'exit')
      }
      await dev?.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const chain = () => {
      const [first] = dev.chains
      if (first === undefined) throw new TypeError('no chain')
      return first
    }
    function run(args: readonly string[]): ChildProcess {
      const { network, rpcUrl, seller } = chain()
      const own = { NETWORK: network, RPC_URL: rpcUrl, PAY_TO: seller.address, FACILITATOR_URL: dev.world.facilitator.url }
      const { NODE_OPTIONS: _, NODE_ENV: __, VITEST: ___, ...env } = process.env
      return spawn(process.execPath, ['node_modules/next/dist/bin/next', ...args], { cwd: folder, env: { ...env, ...quiet, ...own } })
    }
    const sources = async (): Promise<number> => Number(await (await fetch(`${site}/sources`)).text())
    const buyer = () => {
      const signer = privateKeySigner(chain().buyer.privateKey)
      return createClient({ schemes: [batchSettlementClient({ signer }), exactEvmClient({ signer })] })
    }

    it('asks, and serves who pays, with the parameters of its route and the body of its request', async () => {
      verifies('NEXT-APP')
      const url = `${site}/weather/Porto`
      const unpaid = await fetch(url)
      const { accepts } = paymentRequiredHeader.decode(unpaid.headers.get('PAYMENT-REQUIRED') ?? '')
      expect([unpaid.status, accepts.map(({ scheme, amount }) => [scheme, amount])]).toEqual([402, [['exact', '10000']]])
      const before = await chain().balanceOf(chain().seller.address)
      const response = await buyer().fetch(url, { method: 'POST', body: 'please' })
      expect([response.status, await response.json()]).toEqual([200, { place: 'Porto', sky: 'fair', asked: 'please' }])
      expect(receiptOf(response)).toMatchObject({ success: true })
      expect((await chain().balanceOf(chain().seller.address)) - before).toBe(10_000n)
      const preflight = await fetch(url, {
        method: 'OPTIONS',
        headers: { 'access-control-request-method': 'GET', origin: 'https://a.example' },
      })
      expect(preflight.status).toBe(204)
    })

    it('streams as long as it is paid: it stands still with the payment, goes on with it, and both sides count the same', async () => {
      verifies('NEXT-APP')
      expect((await fetch(`${site}/live`)).status).toBe(402)
      const stream = await payStream({ wallet: streamWallet(buyer()), url: `${site}/live` })
      let count = 0
      const reading = (async () => {
        for await (const _ of stream) count += 1
      })()
      await expect.poll(() => count, { timeout: 20_000 }).toBeGreaterThan(10)
      expect(await sources()).toBe(1)
      await stream.pause()
      await new Promise((resolve) => setTimeout(resolve, 300))
      const [stood, { signed }] = [count, stream.standing()]
      await new Promise((resolve) => setTimeout(resolve, 2500))
      // What was on its way when it was paused; nothing of what came after.
      expect(count - stood).toBeLessThanOrEqual(1)
      expect(stream.standing().signed).toBe(signed)
      await stream.resume()
      await expect.poll(() => count, { timeout: 20_000 }).toBeGreaterThan(stood + 20)
      const receipt = await stream.close()
      await reading
      expect([receipt.consumed > 0n, receipt.consumed <= receipt.signed]).toEqual([true, true])
      await expect.poll(sources).toBe(0)
    })

    it('stops for good where nobody pays on, and its source with it', async () => {
      verifies('NEXT-APP')
      const opened = await streamWallet(buyer()).open(`${site}/live`, {}, { window: ({ window }) => window })
      const reader = opened.response.body?.getReader()
      const began = Date.now()
      let [events, last] = ['', Date.now()]
      const reading = (async () => {
        for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
          const text = new TextDecoder().decode(next.value)
          if (/^data: \d+$/m.test(text)) last = Date.now()
          events += text
        }
      })().catch(() => {})
      await expect.poll(() => events, { timeout: 20_000 }).toContain('"t":"gated"')
      const came = events.match(/^data: \d+$/gm)?.length ?? 0
      // Two seconds were signed for, at a piece in fifty milliseconds.
      expect([came > 5, came <= 42, last - began < 20_000]).toEqual([true, true, true])
      await new Promise((resolve) => setTimeout(resolve, 2000))
      expect(events.match(/^data: \d+$/gm)?.length).toBe(came)
      await reader?.cancel()
      await reading
      await opened.lane?.close(0n)
      await expect.poll(sources, { timeout: 20_000 }).toBe(0)
    })
  },
)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
