import type { Extension } from '../protocol/extension.ts'
import type { PaymentRequirements, ResourceInfo } from '../protocol/payment.ts'
import type { Rate } from '../protocol/rate.ts'

/** A visit by somebody who pays nothing yet, and what is asked of him. */
export type PageVisit = {
  /** Absolute, as the visitor asked for it. */
  readonly url: string
  readonly resource: ResourceInfo
  /** What a unit costs, of what is sold by units; what is bought whole costs what its offers say. */
  readonly rate?: Rate
  readonly accepts: readonly PaymentRequirements[]
  /** What the seller says of the resource, whole. */
  readonly extensions: readonly Extension[]
}

/** What a visitor sees. Its headers come over those of the offer, which is sent all the same. */
export type PageAnswer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }

/** Shows to people what is sold, and has them pay for it: programs get the offer alone. */
export interface Page {
  show(visit: PageVisit): Promise<PageAnswer>
  /** A file that the page loads, by its name; nothing where there is none. */
  file(name: string): Promise<PageAnswer | undefined>
}

/** What a page is shown by: nothing but what every framework knows of a request. */
export type PageRequest = { readonly method: string; readonly url: string; header(name: string): string | undefined }

// The files of a page stand at its own URL, so that no other route is needed and nothing is loaded from elsewhere.
const filesQuery = 'flow402x-page='

/** The address of a file, from the page that loads it. */
export function pageFileAddress(name: string): string {
  return `?${filesQuery}${name}`
}

/** A file of the page, where it is one that is asked for. */
export async function pageFile(page: Page, { method, url }: Pick<PageRequest, 'method' | 'url'>): Promise<PageAnswer | undefined> {
  const at = url.lastIndexOf(filesQuery)
  const isFile = at > 0 && '?&'.includes(url.charAt(at - 1)) && (method === 'GET' || method === 'HEAD')
  return isFile ? page.file(url.slice(at + filesQuery.length)) : undefined
}

/**
 * Whether somebody would rather read a page: browsers ask for `text/html` where an address is opened, and where they say what they do, it
 * is that. Scripts and agents are told apart by it whatever they accept.
 */
export function isVisit({ method, header }: Pick<PageRequest, 'method' | 'header'>): boolean {
  if (header('accept')?.includes('text/html') !== true) return false
  const mode = header('sec-fetch-mode')
  return (mode === undefined || mode === 'navigate') && (method === 'GET' || method === 'HEAD')
}
