import { faults, inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openVisits, resource, tale } from '../fixtures/visits.ts'

const paths = {
  search: '/',
  results: '/?query=story&network=eip155%3A8453&maxPrice=cheap',
  nothing: '/?query=xyzzy',
  resource: resource(tale, 'POST'),
  stream: resource('https://live.courtside.example/cam/1'),
  removed: resource('https://gone.example/x'),
  unknown: resource('https://never.example/x'),
  register: '/register',
  lost: '/no/such/page',
}

describe.skipIf(noChromium !== undefined)(`the pages of a bazaar, for everybody ${inChromium}`, () => {
  let visits: Awaited<ReturnType<typeof openVisits>>
  beforeAll(async () => {
    visits = await openVisits()
  })
  afterEach(async () => {
    await visits.leave()
    expect(visits.strange()).toEqual([])
  })
  afterAll(() => visits?.close())

  it.each(Object.entries(paths))('%s has no fault that axe knows: in light, in dark, and on a narrow screen', async (_, path) => {
    verifies('BAZAAR-PAGES')
    const page = await visits.visit(path, { colorScheme: 'light' })
    expect(await faults(page)).toEqual([])
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await faults(page, ['color-contrast'])).toEqual([])
    // 320 pixels are also what 1,280 are at four times the size (WCAG 1.4.10).
    await page.setViewportSize({ width: 320, height: 640 })
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)
    expect(await faults(page, ['target-size', 'scrollable-region-focusable'])).toEqual([])
  })

  it('would be found at fault', async () => {
    const page = await visits.visit('/')
    await page.locator('.lead').evaluate((lead: HTMLElement) => lead.style.setProperty('color', '#999'))
    await page.locator('label[for="network"]').evaluate((label) => label.remove())
    expect((await faults(page)).map((fault) => fault.split(' ')[0]).sort()).toEqual(['color-contrast', 'select-name'])
  })
})
