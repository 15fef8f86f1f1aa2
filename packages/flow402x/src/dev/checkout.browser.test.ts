import type { ServerResponse } from 'node:http'
import { faultsOf, inChromium, noChromium, openVisitor, type Visitor } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type InjectedWallet, injectWallet } from '../fixtures/injected-wallet.ts'
import { openPaidShop, type PaidShop } from '../fixtures/paid-shop.ts'
import { said } from '../fixtures/stream-screen.ts'

const sign = 'eth_signTypedData_v4'
const paper = `%PDF-1.4
1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj
2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj
3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >> endobj
4 0 obj << /Length 47 >> stream
BT /F1 24 Tf 40 100 Td (Hello paid paper) Tj ET
endstream endobj
trailer << /Size 5 /Root 1 0 R >>
%%EOF`
const text = (body: string) => (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/plain' }).end(body)
const goods = (page: Page) => page.locator('[data-part="goods"]')
const payButton = (page: Page) => page.getByRole('button', { name: 'Pay with Pocket' })

describe.skipIf(noChromium !== undefined)(`the page of what is bought whole, ${inChromium}`, { timeout: 60_000 }, () => {
  let [shop, visitor]: [PaidShop?, Visitor?] = []
  const open = (): PaidShop => shop ?? expect.fail('no shop is open')
  const paidUntil = (paid: bigint) => expect.poll(() => open().earned()).toBe(paid)
  beforeAll(async () => {
    shop = await openPaidShop()
    visitor = await openVisitor(shop.url, { expected: /status of (402|409|500|503)/ })
  })
  afterEach(async () => {
    open().lose(false)
    await visitor?.leave()
    expect(visitor?.strange()).toEqual([])
  })
  afterAll(async () => {
    await visitor?.close()
    await shop?.close()
  })

  /** A tab with the buyer's wallet in it, and what that was asked. */
  async function tab(route: string, wallet: Partial<InjectedWallet> = {}, context?: BrowserContext) {
    const page = (await context?.newPage()) ?? (await visitor?.newPage()) ?? expect.fail('no browser is open')
    const { buyer, rpcUrl } = open().chain
    const asked = await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl, ...wallet })
    await page.goto(open().url + route)
    const signed = () => asked.filter((method) => method === sign).length
    return { page, asked, signed }
  }

  it('pays exactly what it shows by one signature, shows what came and its receipt; a reload shows it again and pays nothing', async () => {
    verifies(['PAY-PAGE', 'H2'])
    const before = await open().earned()
    open().sell('/note', text('the <b>note</b>'), { serviceName: 'Note', description: 'A note' })
    const { page, signed } = await tab('/note')
    expect(await page.locator('h1').textContent()).toBe('Note')
    expect(await page.locator('.way').textContent()).toContain(open().chain.seller.address)
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    expect(await goods(page).locator('pre').textContent()).toBe('the <b>note</b>')
    await paidUntil(before + 10_000n)
    const receipt = (await page.locator('dl').textContent()) ?? ''
    const [, hash = ''] = /Transaction(0x[0-9a-f]{64})/.exec(receipt) ?? []
    expect(open().events).toContainEqual(expect.objectContaining({ type: 'settled', transaction: hash }))
    await page.reload()
    await said(page, /Here is what you bought/)
    expect(await goods(page).locator('pre').textContent()).toBe('the <b>note</b>')
    await page.getByRole('button', { name: 'Show again' }).click()
    await said(page, /Here is what you bought/)
    expect([signed(), (await open().earned()) - before]).toEqual([1, 10_000n])
    // Who wants it once more says so.
    await page.getByRole('button', { name: 'Buy again' }).click()
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    await paidUntil(before + 20_000n)
    expect(signed()).toBe(2)
  })

  it('keeps a page that was bought from everything around it, and its seller’s policy on it', async () => {
    verifies(['PAY-PAGE', 'A28'])
    const probe = `<!doctype html><title>x</title><p id="out">still</p><script>
      const tries = { storage: () => localStorage.length, parent: () => parent.document.title, cookie: () => document.cookie, ledger: () => indexedDB.open('flow402x-ledger') && 'opened' }
      document.getElementById('out').textContent = [origin, ...Object.entries(tries).map(([name, read]) => { try { return name + ' ' + read() } catch { return name + ' refused' } })].join(', ')
      try { top.location = 'https://elsewhere.example/' } catch {}
    </script><a id="link" href="next">next</a>`
    open().sell('/site', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end(probe))
    const { page } = await tab('/site')
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    const frame = page.frameLocator('.goods iframe')
    await expect
      .poll(() => frame.locator('#out').textContent())
      .toMatch(/^null, storage refused, parent refused, cookie refused, ledger (refused|opened)$/)
    expect(await frame.locator('#link').evaluate((link: HTMLAnchorElement) => [link.href, document.querySelector('base')?.target])).toEqual(
      [`${open().url}/next`, '_blank'],
    )
    expect(page.url()).toBe(`${open().url}/site`)
    // That it may not move the page is noted by the browser, and nothing else is.
    expect(visitor?.strange().filter((note) => !/allow-top-navigation/.test(note))).toEqual([])
    open().sell('/quiet', (response) =>
      response
        .writeHead(200, { 'content-type': 'text/html', 'content-security-policy': "script-src 'none'; frame-ancestors 'none'" })
        .end(probe),
    )
    const quiet = await tab('/quiet')
    await payButton(quiet.page).click()
    await said(quiet.page, /Here is what you bought/)
    await expect.poll(() => quiet.page.frameLocator('.goods iframe').locator('#out').textContent()).toBe('still')
    expect(visitor?.strange().every((note) => /script-src 'none'/.test(note))).toBe(true)
  })

  it('shows pictures and papers, and saves what is neither under a name that is none of the seller’s paths', async () => {
    verifies('PAY-PAGE')
    const pixel = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
    open().sell('/pixel', (response) => response.writeHead(200, { 'content-type': 'image/png' }).end(pixel))
    const picture = await tab('/pixel')
    await payButton(picture.page).click()
    await said(picture.page, /Here is what you bought/)
    await expect
      .poll(() =>
        goods(picture.page)
          .locator('img')
          .evaluate((image: HTMLImageElement) => image.naturalWidth),
      )
      .toBe(1)
    open().sell('/paper', (response) => response.writeHead(200, { 'content-type': 'application/pdf' }).end(paper))
    const read = await tab('/paper')
    await payButton(read.page).click()
    await said(read.page, /Here is what you bought/)
    // Its viewer is a part of the browser, in a frame of its own.
    await expect.poll(() => read.page.frames().map((frame) => new URL(frame.url()).protocol)).toContain('chrome-extension:')
    open().sell('/file', (response) =>
      response
        .writeHead(200, { 'content-type': 'text/html', 'content-disposition': 'attachment; filename="../../a<b>.html"' })
        .end('<script>alert(1)</script>'),
    )
    const file = await tab('/file')
    await payButton(file.page).click()
    await said(file.page, /Here is what you bought/)
    const save = goods(file.page).getByRole('link')
    expect(await save.textContent()).toBe('Save _.._a<b>.html (25 bytes)')
    expect(await goods(file.page).locator('iframe').count()).toBe(0)
    const [download] = await Promise.all([file.page.waitForEvent('download'), save.click()])
    expect(download.suggestedFilename()).not.toContain('/')
  })

  it('shows what sellers say as text: in its own words, in errors and in what is refused', async () => {
    verifies(['PAY-PAGE', 'A28'])
    const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'`
    const named = '</h1><img src=x onerror=f()>'
    open().sell(
      '/hostile',
      (response) => response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ detail: hostile })),
      {
        serviceName: named,
        description: hostile,
      },
    )
    const { page } = await tab(`/hostile?q=${encodeURIComponent(hostile)}`)
    expect(await page.locator('h1').textContent()).toBe(named)
    expect(await page.locator('.lead').textContent()).toBe(hostile)
    await payButton(page).click()
    await said(page, /The seller could not make it, and took no money/)
    expect(await page.locator('img, script:not([nonce])').count()).toBe(0)
  })

  it('signs nothing that was not shown, and pays nothing where a wallet says no, is elsewhere or is empty', async () => {
    verifies(['PAY-PAGE', 'A15'])
    const before = await open().earned()
    open().sell('/no', text('no'))
    const no = await tab('/no', { signs: () => false })
    await payButton(no.page).click()
    await said(no.page, /Pocket did not sign: User rejected the request\. No money moved/)
    expect(await payButton(no.page).isEnabled()).toBe(true)
    const elsewhere = await tab('/no', { changes: false })
    await payButton(elsewhere.page).click()
    await said(elsewhere.page, /Pocket is not on Base Sepolia/)
    const empty = await tab('/no', { privateKey: `0x${'7'.repeat(64)}` })
    await payButton(empty.page).click()
    await said(empty.page, /Pocket cannot pay this: the wallet holds 0 USDC, and 0\.01 USDC are asked\. Nothing was signed/)
    const dear = await tab('/no')
    open().sell('/no', text('no'), { price: '$0.02' })
    await payButton(dear.page).click()
    await said(dear.page, /The seller now asks 0\.02 USDC instead of 0\.01 USDC\. Nothing was signed/)
    const other = await tab('/no')
    open().sell('/no', text('no'), { price: '$0.02', payTo: open().chain.buyer.address })
    await payButton(other.page).click()
    await said(other.page, /Nothing was signed/)
    expect([elsewhere, empty, dear, other].map(({ signed }) => signed())).toEqual([0, 0, 0, 0])
    expect(await open().earned()).toBe(before)
  })

  it('signs once, however often it is pressed and in how many tabs', async () => {
    verifies(['PAY-PAGE', 'H2'])
    const before = await open().earned()
    open().sell('/once', text('once'))
    let answer = () => {}
    const thinking = new Promise<void>((resolve) => {
      answer = resolve
    })
    const first = await tab('/once', { signs: () => thinking.then(() => true) })
    const second = await tab('/once', {}, first.page.context())
    await first.page.evaluate(() => {
      const button = document.querySelector<HTMLButtonElement>('.wallets button')
      for (let presses = 0; presses < 5; presses += 1) button?.click()
    })
    await expect.poll(first.signed).toBe(1)
    await payButton(second.page).click()
    await said(second.page, /being paid in another tab/)
    answer()
    await said(first.page, /Here is what you bought/)
    // The other tab has it as well, by what the first signed.
    await payButton(second.page).click()
    await said(second.page, /Here is what you bought/)
    await paidUntil(before + 10_000n)
    expect([first.signed(), second.signed()]).toEqual([1, 0])
  })

  it('pays with a wallet that was left while it asked: nobody has what that would have signed', async () => {
    verifies('PAY-PAGE')
    open().sell('/left', text('left'))
    let isGone = false
    const { page, signed } = await tab('/left', { signs: () => (isGone ? true : new Promise<boolean>(() => {})) })
    await payButton(page).click()
    await expect.poll(signed).toBe(1)
    isGone = true
    await page.reload()
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    expect(signed()).toBe(2)
  })

  it('sends the same payment again where the seller failed, and takes nothing for what was not made', async () => {
    verifies(['PAY-PAGE', 'H2'])
    const before = await open().earned()
    open().sell('/fails', (response) => response.writeHead(500).end())
    const { page, signed } = await tab('/fails')
    await payButton(page).click()
    await said(page, /took no money\. Ask again, which sends the same payment/)
    expect(await page.getByRole('button', { name: 'Buy again' }).isVisible()).toBe(false)
    expect(await open().earned()).toBe(before)
    await page.reload()
    await expect.poll(() => page.getByRole('heading', { name: 'Not finished' }).isVisible()).toBe(true)
    expect(await payButton(page).isVisible()).toBe(false)
    open().sell('/fails', text('made'))
    await page.getByRole('button', { name: 'Ask again' }).click()
    await said(page, /Here is what you bought/)
    await paidUntil(before + 10_000n)
    expect(signed()).toBe(1)
  })

  it('lets it be bought anew only once nobody can spend the first payment any more', async () => {
    verifies(['PAY-PAGE', 'M3'])
    const before = await open().earned()
    open().sell('/dead', (response) => response.writeHead(500).end(), { maxTimeoutSeconds: 60 })
    const { page, signed } = await tab('/dead')
    await payButton(page).click()
    await said(page, /took no money/)
    open().sell('/dead', text('anew'), { maxTimeoutSeconds: 60 })
    const anew = page.getByRole('button', { name: 'Buy again' })
    const at = async (seconds: number) => {
      await page.clock.setFixedTime(Date.now() + seconds * 1000)
      await page.reload()
      await expect.poll(() => page.getByRole('heading', { name: 'Not finished' }).isVisible()).toBe(true)
      return anew.isVisible()
    }
    expect([await at(50), await at(100), await at(150)]).toEqual([false, false, true])
    await anew.click()
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    await paidUntil(before + 10_000n)
    expect(signed()).toBe(2)
  })

  it('pays nothing in a browser that keeps no books', async () => {
    verifies(['PAY-PAGE', 'H2'])
    open().sell('/forgetful', text('no'))
    const page = (await visitor?.newPage()) ?? expect.fail('no browser is open')
    const { buyer, rpcUrl } = open().chain
    const asked = await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl })
    await page.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException('The user denied permission', 'SecurityError')
      }
    })
    await page.goto(`${open().url}/forgetful`)
    await said(page, /keeps nothing for this site.*Nothing was signed/)
    expect([await payButton(page).isVisible(), asked]).toEqual([false, []])
  })

  it('signs nothing more while a settlement is not known, over reloads, and has what was paid once it is', async () => {
    verifies(['PAY-PAGE', 'H2'])
    const before = await open().earned()
    open().sell('/pending', text('at last'))
    open().lose(true)
    const { page, signed } = await tab('/pending')
    await payButton(page).click()
    await said(page, /waits for the network/)
    // The money moved, and nobody here knows.
    await paidUntil(before + 10_000n)
    await page.reload()
    await said(page, /what came of it is not known yet/)
    expect([await payButton(page).isVisible(), await page.getByRole('button', { name: 'Buy again' }).isVisible()]).toEqual([false, false])
    expect(await faultsOf(page)).toEqual([])
    open().lose(false)
    await page.getByRole('button', { name: 'Ask again' }).click()
    await said(page, /Here is what you bought/)
    expect([signed(), (await open().earned()) - before]).toEqual([1, 10_000n])
  })

  it('says so where the seller keeps no copy of what was bought, and pays nothing for asking', async () => {
    verifies(['PAY-PAGE', 'H2'])
    const before = await open().earned()
    open().sell('/upfront', text('only now'), { flow: 'upfront' })
    const { page, signed } = await tab('/upfront')
    await payButton(page).click()
    await said(page, /Here is what you bought/)
    expect(await goods(page).locator('pre').textContent()).toBe('only now')
    await page.reload()
    await said(page, /You have bought this, and the seller keeps no copy to show again\. Nothing was paid now/)
    expect([signed(), (await open().earned()) - before, await payButton(page).isVisible()]).toEqual([1, 10_000n, false])
  })

  it('is paid by keyboard alone, has no fault that axe knows, and stands in no frame of others', async () => {
    verifies('PAY-PAGE')
    open().sell('/keys', text('keys'))
    const { page } = await tab('/keys')
    expect(await faultsOf(page)).toEqual([])
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to payment')
    await page.keyboard.press('Enter')
    await expect
      .poll(async () => {
        await page.keyboard.press('Tab')
        return page.evaluate(() => document.activeElement?.textContent)
      })
      .toBe('Pay with Pocket')
    await page.keyboard.press('Enter')
    await said(page, /Here is what you bought/)
    expect(await page.evaluate(() => document.activeElement?.getAttribute('data-part'))).toBe('goods')
    expect(await faultsOf(page)).toEqual([])
    const outside = (await visitor?.newPage()) ?? expect.fail('no browser is open')
    await outside.goto(`${open().url}/nowhere`)
    await outside.setContent(`<iframe src="${open().url}/keys"></iframe>`)
    await expect.poll(() => visitor?.strange().join()).toMatch(/frame-ancestors|X-Frame-Options|Refused|refused/)
    expect(outside.frames().some((frame) => frame.url().endsWith('/keys'))).toBe(false)
  })
})
