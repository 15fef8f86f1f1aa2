import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStore } from '@flow402x/store/memory'
import { inChromium, noChromium, openVisitor, type Visitor } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { sampleVideo } from '../dev/sample-video.ts'
import { injectWallet } from '../fixtures/injected-wallet.ts'
import { said } from '../fixtures/stream-screen.ts'
import { flowMiddleware } from './flow-middleware.ts'

describe.skipIf(noChromium !== undefined)(`the page of what is paid by the view, ${inChromium}`, { timeout: 60_000 }, () => {
  let [dev, visitor, server]: [Dev?, Visitor?, Server?] = []
  let [folder, url] = ['', '']
  const ready = <Part>(part: Part | undefined): Part => part ?? expect.fail('nothing is open')
  beforeAll(async () => {
    dev = await startDev({ networks: ['base-sepolia'] })
    folder = await mkdtemp(join(tmpdir(), 'flow402x-view-page-'))
    const film = join(folder, 'film.mp4')
    await writeFile(film, await sampleVideo({ seconds: 4 }))
    const [chain] = dev.chains
    const env = {
      FLOW402X_FACILITATOR_URL: dev.world.facilitator.url,
      FLOW402X_RPC_URL_EIP155_84532: ready(chain).rpcUrl,
      FLOW402X_SECRET: 'a secret of the seller, which is long enough',
    }
    const app = express()
    const store = memoryStore({ force: true })
    app.use(
      '/film',
      flowMiddleware({ perView: '0.50', token: 'USDC', network: 'base-sepolia', recipient: ready(chain).seller.address, env, store }),
    )
    app.get('/film', (_, response) => response.sendFile(film))
    server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    // Of a server that listens on a host it is the address. Browsers take cookies for TLS on `localhost` as well.
    url = `http://localhost:${(server.address() as AddressInfo).port}`
    visitor = await openVisitor(url)
  })
  afterAll(async () => {
    await visitor?.close()
    server?.close()
    server?.closeAllConnections()
    await dev?.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('shows the film once it is paid, and after that the browser shows it as any film, for nothing', async () => {
    verifies(['PAY-PAGE', 'FS1-VIEW-GRANT'])
    const { buyer, seller, rpcUrl, balanceOf } = ready(ready(dev).chains[0])
    const before = await balanceOf(seller.address)
    const page = await ready(visitor).newPage()
    const asked = await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl })
    await page.goto(`${url}/film`)
    expect(await page.locator('.price').textContent()).toBe('$0.50 once')
    await page.getByRole('button', { name: 'Pay with Pocket' }).click()
    await said(page, /Here is what you bought/)
    const width = () => page.locator('video').evaluate((video: HTMLVideoElement) => video.videoWidth)
    await expect.poll(width).toBeGreaterThan(0)
    await expect.poll(() => balanceOf(seller.address)).toBe(before + 500_000n)
    await page.reload()
    expect(await page.locator('.pay').count()).toBe(0)
    await expect.poll(width).toBeGreaterThan(0)
    expect([asked.filter((method) => method === 'eth_signTypedData_v4').length, (await balanceOf(seller.address)) - before]).toEqual([
      1,
      500_000n,
    ])
    expect(ready(visitor).strange()).toEqual([])
  })
})
