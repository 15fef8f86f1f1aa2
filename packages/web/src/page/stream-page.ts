import { sha256 } from '@flow402x/core'
import { toText } from '@flow402x/core/page'
import type { PageAnswer, PageVisit, StreamPage } from '@flow402x/core/stream'
import { playerScript } from '#player'
import { streamDocument } from './document.ts'
import { stylesheet } from './stylesheet.ts'

/** How a page of streams is served. */
export type StreamPageOptions = {
  /**
   * For local worlds alone: the path that gives test money to whom a POST names by `?network=…&address=…`. The page then makes a wallet of its
   * own, whose key stays in the browser, and offers it beside the visitor's.
   */
  readonly testWallet?: string
}

// The files of the page stand at the page's own URL, so that no other route is needed and nothing is loaded from elsewhere.
const fileParameter = 'flow402x-page'
const forever = 'public, max-age=31536000, immutable'

/**
 * The page on which people watch, read and pay a stream: `createStreams({ …, page: streamPage() })`. Whoever opens the stream's URL in a
 * browser sees its price, pays with his own wallet and has what he paid for; programs get the offer as before.
 */
export function streamPage({ testWallet }: StreamPageOptions = {}): StreamPage {
  let files: Promise<Files> | undefined
  return async (visit) => {
    const asked = new URL(visit.url).searchParams.get(fileParameter)
    if (asked === null && !wantsPage(visit)) return undefined
    files ??= filesOf()
    const { script, style } = await files
    if (asked !== null) return [script, style].find(({ name }) => name === asked)?.answer
    const nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))))
    const addresses = { script: `?${fileParameter}=${script.name}`, style: `?${fileParameter}=${style.name}` }
    const page = streamDocument(visit, { ...addresses, nonce, testWallet })
    return {
      status: 402,
      headers: { ...guards(nonce), 'Content-Type': 'text/html; charset=utf-8', Vary: 'Accept, PAYMENT-SIGNATURE' },
      body: toText(page),
    }
  }
}

/** Whether it is somebody who would rather read a page: browsers say so when they open an address, and at no other time. */
function wantsPage({ header }: PageVisit): boolean {
  return /\btext\/html\b/i.test(header('accept') ?? '')
}

/** What the page says to its browser: no script and no style but its own, nothing from elsewhere, no frame around it. */
function guards(nonce: string): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    'media-src blob:',
    'img-src data:',
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    // No text ever becomes markup.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ]
  return {
    'Content-Security-Policy': policy.join('; '),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'same-origin',
    // Wallets may open windows of their own.
    'Cross-Origin-Opener-Policy': 'same-origin-allow-popups',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=()',
  }
}

type File = { readonly name: string; readonly answer: PageAnswer }
type Files = { readonly script: File; readonly style: File }

/** The files, by names that say what is in them: a browser asks for each once. */
async function filesOf(): Promise<Files> {
  const [script, style] = await Promise.all([playerScript(), stylesheet])
  return {
    script: await fileOf(script, { type: 'text/javascript', extension: 'js' }),
    style: await fileOf(style, { type: 'text/css', extension: 'css' }),
  }
}

async function fileOf(body: string, { type, extension }: { readonly type: string; readonly extension: string }): Promise<File> {
  const name = `${((await sha256(new TextEncoder().encode(body))) ?? '').slice(0, 24)}.${extension}`
  const headers = {
    'Content-Type': `${type}; charset=utf-8`,
    'Cache-Control': forever,
    'X-Content-Type-Options': 'nosniff',
    Vary: 'Accept-Encoding',
  }
  return { name, answer: { status: 200, headers, body } }
}
