import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults, RunOptions } from 'axe-core'
import type { Page } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds wrong with everything unfolded, by all it knows or by some rules, one line for each place. */
export async function faults(page: Page, rules?: readonly string[]): Promise<string[]> {
  // The policy of the pages forbids scripts of others: this one comes from the debugger, past it.
  await page.evaluate(axe)
  await page.locator('details').evaluateAll((all: HTMLDetailsElement[]) => all.map((one) => one.setAttribute('open', '')))
  const options: RunOptions = { resultTypes: ['violations'], ...(rules === undefined ? {} : { runOnly: [...rules] }) }
  const { violations } = await page.evaluate((given) => {
    // axe put itself there.
    const { axe: tool } = globalThis as typeof globalThis & { axe: { run(options: RunOptions): Promise<AxeResults> } }
    return tool.run(given)
  }, options)
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')} ${failureSummary}`))
}

/** What axe finds wrong in light, in dark and on a narrow screen, one line for each place. */
export async function faultsOf(page: Page): Promise<string[]> {
  const found: string[] = []
  const size = page.viewportSize()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    found.push(...(await faults(page)))
  }
  // 320 pixels are also what 1,280 are at four times the size (WCAG 1.4.10).
  await page.setViewportSize({ width: 320, height: 640 })
  const wide = await page.evaluate(() => document.documentElement.scrollWidth)
  if (wide > 320) found.push(`it is ${wide} pixels wide on a screen of 320`)
  found.push(...(await faults(page, ['target-size', 'scrollable-region-focusable', 'color-contrast'])))
  if (size !== null) await page.setViewportSize(size)
  return found
}
