import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { paymentRequiredHeader } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { build } from 'esbuild'
import { type Dev, startDev } from 'flow402x'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Bought, buy } from './browser-buyer.ts'

const executablePath = '/usr/bin/chromium'
const missing = existsSync(executablePath) ? undefined : `skipped: there is no ${executablePath}; install Debian's chromium`

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const quiet = [...flags, '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']

describe.skipIf(missing !== undefined)(`a page in Chromium pays across origins${missing === undefined ? '' : ` (${missing})`}`, () => {
  const closing: (() => Promise<unknown>)[] = []
  let dev: Dev
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    dev = await startDev()
    closing.push(() => dev.close())
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL('./browser-buyer.ts', import.meta.url))],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      conditions: ['@flow402x/source'],
      write: false,
    })
    const script = bundle.outputFiles[0]?.text ?? ''
    const site = await serve((request, response) => {
      const isScript = request.url === '/buyer.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      response.setHeader('content-security-policy', "default-src 'none'; script-src 'self'; connect-src http://127.0.0.1:*")
      response.end(isScript ? script : '<!doctype html><title>buyer</title><script type="module" src="/buyer.js"></script>')
    })
    browser = await chromium.launch({ executablePath, args: quiet })
    closing.push(() => browser.close())
    page = await browser.newPage()
    await page.goto(site)
    await page.waitForFunction(() => 'buy' in globalThis)
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  it('a GET, and reads the receipt that another origin sent', async () => {
    verifies('H22')
    const { spent, result } = await spending(() => purchase(`${dev.world.seller.url}/weather?place=Porto`))
    expect(result).toEqual({ status: 200, body: expect.stringContaining('Porto'), transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/) })
    expect(spent).toBe(1000n)
  })

  it('a POST with JSON, which needs a preflight each time', async () => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"prompt":"a page, a coin, a shop"}' }
    const { spent, result } = await spending(() => purchase(`${dev.world.seller.url}/ai/generate`, init))
    expect(result).toEqual({ status: 200, body: expect.stringContaining('a shop'), transaction: expect.any(String) })
    expect(spent).toBe(20_000n)
  })

  it('and sends no payment after a redirect of the paid try', async () => {
    verifies('A19')
    const seen: IncomingMessage[] = []
    const elsewhere = await serve((request, response) => {
      seen.push(request)
      response.setHeader('access-control-allow-origin', '*').setHeader('access-control-allow-headers', '*').end('elsewhere')
    })
    const hostile = await serve((request, response) => {
      response.setHeader('access-control-allow-origin', '*').setHeader('access-control-expose-headers', '*')
      response.setHeader('access-control-allow-headers', 'PAYMENT-SIGNATURE, *')
      if (request.method === 'OPTIONS') response.end()
      else if (request.headers['payment-signature'] === undefined) response.writeHead(402, { 'PAYMENT-REQUIRED': offer(request) }).end()
      else response.writeHead(307, { location: elsewhere }).end()
    })
    const { spent, result } = await spending(() => purchase(hostile))
    expect(result).toEqual({ error: expect.any(String), code: expect.stringMatching(/^client\//) })
    expect({ spent, seen: seen.length }).toEqual({ spent: 0n, seen: 0 })
  })

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
    // A server that listens on a host has an address with a port.
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  function chain() {
    const [first] = dev.chains
    if (first === undefined) throw new TypeError('no chain')
    return first
  }

  async function purchase(url: string, init?: RequestInit): Promise<Bought> {
    const given = { url, options: { privateKey: chain().buyer.privateKey, ...(init === undefined ? {} : { init }) } }
    return page.evaluate(({ url: where, options }) => {
      // The page's script put `buy` there.
      const { buy: act } = globalThis as typeof globalThis & { buy: typeof buy }
      return act(where, options)
    }, given)
  }

  async function spending(act: () => Promise<Bought>): Promise<{ spent: bigint; result: Bought }> {
    const before = await chain().balanceOf(chain().buyer.address)
    const result = await act()
    return { spent: before - (await chain().balanceOf(chain().buyer.address)), result }
  }

  function offer(request: IncomingMessage): string {
    const { usdc, seller, network } = chain()
    return paymentRequiredHeader.encode({
      x402Version: 2,
      resource: { url: `http://${request.headers.host}${request.url}` },
      accepts: [
        {
          scheme: 'exact',
          network,
          amount: '1000',
          asset: usdc.address,
          payTo: seller.address,
          maxTimeoutSeconds: 60,
          extra: { name: usdc.name, version: usdc.version },
        },
      ],
    })
  }
})
