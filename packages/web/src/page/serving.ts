import { sha256 } from '@flow402x/core'
import type { PageAnswer } from '@flow402x/core/page'

/** A file of a page, and the answer that carries it. */
export type File = { readonly name: string; readonly answer: PageAnswer }

/** What a page says to its browser: no script and no style but its own, nothing from elsewhere, no frame around it. */
export function guards(nonce: string): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    'media-src blob:',
    'img-src data: blob:',
    // What was bought is shown in a frame, where it can do nothing to the page.
    "frame-src 'self' blob:",
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

/** What a file is, and what else its answer says. */
export type FileKind = { readonly type: string; readonly extension: string; readonly headers?: Readonly<Record<string, string>> }

/** A file under a name that says what is in it, so that it can be kept for good. */
export async function fileOf(body: string, { type, extension, headers = {} }: FileKind): Promise<File> {
  const name = `${((await sha256(new TextEncoder().encode(body))) ?? '').slice(0, 24)}.${extension}`
  const kept = {
    'Content-Type': `${type}; charset=utf-8`,
    'Cache-Control': 'public, max-age=31536000, immutable',
    'X-Content-Type-Options': 'nosniff',
    Vary: 'Accept-Encoding',
  }
  return { name, answer: { status: 200, headers: { ...kept, ...headers }, body } }
}
