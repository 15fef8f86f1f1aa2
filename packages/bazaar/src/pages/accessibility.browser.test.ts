import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { verifies } from '@flow402x/testing/requirements'
import type { AxeResults, RunOptions } from 'axe-core'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { inChromium, noChromium, openVisits, resource, tale } from '../fixtures/visits.ts'

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
    const page = await visits.visit(path, { colorScheme: 'light', reducedMotion: 'reduce' })
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

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds wrong with everything unfolded, by all it knows or by some rules, one line for each place. */
async function faults(page: Page, rules?: string[]): Promise<string[]> {
  // The policy of the pages forbids scripts of others: this one comes from the debugger, past it.
  await page.evaluate(axe)
  await page.locator('details').evaluateAll((all: HTMLDetailsElement[]) => all.map((one) => one.setAttribute('open', '')))
  const options: RunOptions = { resultTypes: ['violations'], ...(rules === undefined ? {} : { runOnly: rules }) }
  const { violations } = await page.evaluate((given) => {
    // axe put itself there.
    const { axe: tool } = globalThis as typeof globalThis & { axe: { run(options: RunOptions): Promise<AxeResults> } }
    return tool.run(given)
  }, options)
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')} ${failureSummary}`))
}
