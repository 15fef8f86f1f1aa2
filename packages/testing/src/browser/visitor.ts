import { existsSync } from 'node:fs'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'

const executablePath = '/usr/bin/chromium'
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const quiet = [...flags, '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']

/** Why nothing can be tried in a browser here, where that is so. */
export const noChromium: string | undefined = existsSync(executablePath)
  ? undefined
  : `skipped: there is no ${executablePath}; install Debian's chromium`

/** Where such tests run, or why they do not. */
export const inChromium: string = `in Chromium${noChromium === undefined ? '' : ` (${noChromium})`}`

/** Somebody with a browser. */
export interface Visitor {
  /** A page with cookies, stores and settings of its own. */
  newPage(options?: BrowserContextOptions): Promise<Page>
  /** What was strange since it was asked last: requests to others, errors, breaches of a page's policy. */
  strange(): string[]
  /** Closes all pages. */
  leave(): Promise<void>
  close(): Promise<void>
}

/** How a visit is made: `expected` is what consoles say of answers that are no success, and that is no surprise. */
export type VisitorOptions = { readonly expected?: RegExp }

/** Debian's Chromium, which visits one site and notes what is strange. */
export async function openVisitor(site: string, { expected = /status of (402|409|410)/ }: VisitorOptions = {}): Promise<Visitor> {
  const browser = await chromium.launch({ executablePath, args: quiet })
  const strange: string[] = []
  return {
    strange: () => strange.splice(0),
    async newPage(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ...options })
      // Every tab that is opened in it.
      context.on('page', (page) => {
        page.on('pageerror', (error) => strange.push(String(error)))
        page.on('console', (message) => expected.test(message.text()) || strange.push(message.text()))
        page.on('request', (asked) => {
          const url = asked.url()
          // What is of the browser itself, such as its viewer of PDF, is nobody else's.
          if (!/^(blob|data|chrome|chrome-extension):/.test(url) && !url.startsWith(site)) strange.push(url)
        })
      })
      return await context.newPage()
    },
    leave: async () => void (await Promise.all(browser.contexts().map((context) => context.close()))),
    close: () => browser.close(),
  }
}
