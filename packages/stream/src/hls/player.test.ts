import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Facilitator } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { build } from 'esbuild'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator } from '../fixtures/ground.ts'
import type { Play, Played } from '../fixtures/hls-page.ts'
import { type HlsWay, openHlsShop, perSecond, segmentBytes, segmentCount, segmentMs } from '../fixtures/hls-shop.ts'

const executablePath = '/usr/bin/chromium'
const missing = existsSync(executablePath) ? undefined : `skipped: there is no ${executablePath}; install Debian's chromium`
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const quiet = [
  ...flags,
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--autoplay-policy=no-user-gesture-required',
]

const seconds = (segmentCount * segmentMs) / 1000
const cost = (BigInt(segmentCount * segmentMs) * perSecond) / 1000n

describe.skipIf(missing !== undefined)(`hls.js in Chromium${missing === undefined ? '' : ` (${missing})`}`, () => {
  const closing: (() => Promise<unknown>)[] = []
  let chain: EvmChain
  let facilitator: Facilitator
  let browser: Browser
  let script: string

  beforeAll(async () => {
    chain = await startEvmChain()
    closing.push(() => chain.stop())
    const made = await channelFacilitator(chain)
    closing.push(() => made.close())
    facilitator = made
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL('../fixtures/hls-page.ts', import.meta.url))],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      conditions: ['@flow402x/source'],
      write: false,
    })
    script = bundle.outputFiles[0]?.text ?? ''
    browser = await chromium.launch({ executablePath, args: quiet })
    closing.push(() => browser.close())
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  async function playIn(way: HlsWay, { account, ...options }: Partial<Play> & { readonly account: number }) {
    const shop = await openHlsShop({ chain, facilitator, way, script })
    closing.push(() => shop.close())
    const page = await browser.newPage()
    await page.goto(shop.url)
    await page.waitForFunction(() => 'play' in globalThis)
    const { privateKey } = chain.accounts[account] ?? chain.buyer
    const access = way === 'edge' ? { access: shop.access } : {}
    const played = await page.evaluate(
      (given) => {
        // The page's script put `play` there.
        const { play } = globalThis as typeof globalThis & { play: (given: Play) => Promise<Played> }
        return play(given)
      },
      { playlist: shop.playlist, privateKey, ...access, ...options },
    )
    await page.close()
    return { shop, played, charged: (await rowOf(shop.store, 'receiver'))?.charged }
  }

  it('plays a programme to its end and pays for its segments, to the atomic unit', async () => {
    verifies(['FS1-HLS-LOADER', 'T5'])
    const { played, charged } = await playIn('origin', { account: 3 })
    expect(played).toMatchObject({ errors: [], consumed: `${cost}`, bytes: segmentCount * segmentBytes().length })
    expect(played.events).toMatchObject({ loaded: segmentCount, buffered: segmentCount })
    expect([Math.abs(played.duration - seconds) < 0.2, Math.abs(played.time - seconds) < 0.2, charged]).toEqual([true, true, cost])
  })

  it('opens what caches hold with keys that it pays', async () => {
    verifies(['FS1-HLS-LOADER', 'T5'])
    const { played, charged } = await playIn('key', { account: 4 })
    expect(played).toMatchObject({ errors: [], consumed: `${cost}` })
    // What is not opened is no sound, and is not buffered.
    expect(played.events).toMatchObject({ keys: segmentCount, buffered: segmentCount, loaded: segmentCount })
    expect([Math.abs(played.time - seconds) < 0.2, charged]).toEqual([true, cost])
  })

  it('is let in by an edge for as long as it pays, by a cookie that no script reads', async () => {
    verifies(['FS1-HLS-LOADER', 'FS1-KEPT-PASSES'])
    const { shop, played, charged } = await playIn('edge', { account: 5 })
    expect(played).toMatchObject({ errors: [], bytes: segmentCount * segmentBytes().length })
    const windows = shop.asked.filter((one) => one === '/access 200').length
    expect([Math.abs(played.time - seconds) < 0.2, charged]).toEqual([true, BigInt(windows) * 2n * perSecond])
  })

  it('stops where the budget does', async () => {
    verifies('FS1-CLIENT-BUDGET')
    const { played, charged } = await playIn('origin', { account: 6, budget: '$0.03' })
    expect(played.events).toMatchObject({ loaded: 2 })
    expect([played.errors.some((one) => one.includes(' 402 ')), charged]).toEqual([true, (2n * cost) / BigInt(segmentCount)])
  })
})
