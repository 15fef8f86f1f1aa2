import { inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { hostileMarket } from '../fixtures/hostile.ts'
import { openVisits, resource, tale } from '../fixtures/visits.ts'

describe.skipIf(noChromium !== undefined)(`the pages of a bazaar ${inChromium}`, () => {
  let visits: Awaited<ReturnType<typeof openVisits>>
  beforeAll(async () => {
    visits = await openVisits()
  })
  afterEach(async () => {
    await visits.leave()
    expect(visits.strange()).toEqual([])
  })
  afterAll(() => visits?.close())

  const names = (page: Page) => page.locator('.listing h2').allTextContents()

  it('searches, filters and turns pages without scripts', async () => {
    verifies('BAZAAR-PAGES')
    const page = await visits.visit('/', { javaScriptEnabled: false })
    await page.getByLabel('Category').fill('media.text')
    await page.getByLabel('What should it do?').fill('volume')
    await page.getByRole('button', { name: 'Show results' }).click()
    await page.waitForURL(/query=volume/)
    expect(await names(page)).toHaveLength(20)
    await page.getByRole('link', { name: 'Next' }).click()
    await page.waitForURL(/page=2/)
    expect(await names(page)).toHaveLength(5)
    expect(await page.getByRole('button', { name: 'Dark theme' }).count()).toBe(0)
  })

  it('registers without scripts', async () => {
    const page = await visits.visit('/register', { javaScriptEnabled: false })
    await page.getByLabel('URL').fill('not a url')
    await page.getByRole('button', { name: 'Look at it and list it' }).click()
    expect(await page.getByRole('alert').textContent()).toContain('URL')
    expect(await page.getByLabel('URL').getAttribute('aria-invalid')).toBe('true')
    await page
      .getByLabel('URL')
      .fill(visits.town.put(`${visits.town.at('new')}/thing`, { resource: { url: '', serviceName: 'A new thing' } }))
    await page.getByRole('button', { name: 'Look at it and list it' }).click()
    await page.waitForURL(/\/resource/)
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('A new thing')
  })

  it('follows what is typed, and tells how much is found', async () => {
    verifies('BAZAAR-PAGES')
    const page = await visits.visit('/')
    await page.getByLabel('What should it do?').pressSequentially('weather')
    await expect.poll(() => names(page)).toEqual(['Meteo Now'])
    expect(await page.getByRole('status').first().textContent()).toBe('1 resource for “weather”')
    expect(new URL(page.url()).search).toBe('?query=weather')
    await page.getByLabel('Network').selectOption('Solana')
    await expect.poll(() => page.getByRole('heading', { name: 'Nothing matches' }).count()).toBe(1)
    await page.getByRole('link', { name: 'Remove Network Solana' }).click()
    await expect.poll(() => names(page)).toEqual(['Meteo Now'])
  })

  it('remembers the theme that was chosen', async () => {
    const page = await visits.visit('/', { colorScheme: 'light' })
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const light = await ground()
    const button = page.getByRole('button', { name: 'Dark theme' })
    await button.click()
    expect(await button.getAttribute('aria-pressed')).toBe('true')
    const dark = await ground()
    expect(dark).not.toBe(light)
    await page.goto(`${visits.url}/register`)
    expect(await ground()).toBe(dark)
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.getByRole('button', { name: 'Dark theme' }).click()
    expect(await ground()).toBe(light)
  })

  it('copies what it shows', async () => {
    const page = await visits.visit(resource(tale, 'POST'), { permissions: ['clipboard-read', 'clipboard-write'] })
    await page.getByRole('button', { name: 'Copy: Pay from the shell' }).click()
    await expect
      .poll(() => page.evaluate(() => navigator.clipboard.readText()))
      .toContain("npx flow402x pay 'https://api.taleworks.example/v1/tell'")
    await page.getByText('0x7099…79C8').first().click()
    await page.locator('details[open] .copy').click()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('0x70997970C51812dc3A010C7d01b50e0d17dc79C8')
  })

  it('is walked by keyboard, in the order in which it reads, with the focus in sight', async () => {
    verifies('BAZAAR-PAGES')
    const page = await visits.visit('/?query=weather')
    const walked: string[] = []
    for (let step = 0; step < 19; step += 1) {
      await page.keyboard.press('Tab')
      const { name, sight } = await page.evaluate(() => {
        const at = document.activeElement
        const label = at?.id ? document.querySelector(`label[for="${at.id}"]`)?.textContent : undefined
        const style = at && getComputedStyle(at, at.closest('.listing h2') ? '::after' : undefined)
        return { name: label ?? at?.textContent?.trim() ?? '', sight: style?.outlineStyle !== 'none' && style?.outlineWidth !== '0px' }
      })
      walked.push(name)
      expect([name, sight]).toEqual([name, true])
    }
    expect(walked).toEqual(
      ['Skip to content', 'Bazaar', 'Search', 'List a resource', 'Dark theme', 'What should it do?', 'Search', 'Category'].concat(
        ['Highest price per unit', 'Network', 'Asset', 'Paid per', 'Stream travels by', 'Kind', 'Order'],
        ['Verified owners only', 'Healthy only', 'Show results', 'Meteo Now'],
      ),
    )
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/resource/)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
  })

  it('moves nothing for who wants no motion', async () => {
    const page = await visits.visit('/', { reducedMotion: 'reduce' })
    expect(await page.evaluate(() => document.getAnimations().length)).toBe(0)
    const moving = () =>
      page.evaluate(() => [...document.querySelectorAll('*')].some((one) => getComputedStyle(one).transitionDuration !== '0s'))
    expect(await moving()).toBe(false)
    await page.emulateMedia({ reducedMotion: 'no-preference' })
    expect(await moving()).toBe(true)
  })

  it('runs nothing of what strangers wrote, and keeps it in its place', async () => {
    verifies('A21')
    const page = await visits.visit('/?query=hostile')
    const heights = await page.locator('.listing').evaluateAll((cards) => cards.map((card) => card.getBoundingClientRect().height))
    expect(heights).toHaveLength(10)
    expect(Math.max(...heights)).toBeLessThan(260)
    expect(await page.evaluate(() => 'owned' in globalThis)).toBe(false)
    for (const { url } of hostileMarket.slice(2)) {
      await page.goto(`${visits.url}${resource(new URL(url).href, 'POST')}`)
      expect(await page.evaluate(() => 'owned' in globalThis)).toBe(false)
      expect(await page.locator('h1').count()).toBe(1)
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true)
      expect(await page.locator('script, img, iframe, style, [onerror], [onload], [onfocus]').count()).toBe(1)
    }
  })
})
