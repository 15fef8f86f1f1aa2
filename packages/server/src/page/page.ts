import type { ResourceInfo } from '@flow402x/core'
import { type Page, type PageAnswer, type PageRequest, pageFile } from '@flow402x/core/page'
import { type ChallengeAnswer, plainAnswer } from '../engine/answers.ts'
import type { PaidOptions, Quote } from '../engine/offers.ts'
import type { Engine } from '../engine/server.ts'
import { extensionsOf } from '../extensions/extensions.ts'

/** What is known of a charged route by whom it is shown. */
export type Shown = {
  readonly engine: Engine
  readonly options: PaidOptions
  readonly url: string
  readonly resource: ResourceInfo
  readonly quote: Quote
}

/** A challenge as people see it who open a route in a browser: the same offer in the same header, and a page. One that fails costs nobody the offer. */
export async function shown(challenge: ChallengeAnswer, { engine, options, url, resource, quote }: Shown): Promise<ChallengeAnswer> {
  const accepts = quote.offers.map(({ requirements }) => requirements)
  try {
    const seen = await engine.page?.show({ url, resource, accepts, extensions: extensionsOf(engine, options, quote) })
    return seen === undefined ? challenge : answered(seen, challenge.plain.headers)
  } catch (error) {
    engine.emit({ type: 'error', error })
    return challenge
  }
}

/** A file of the page, where one is asked for. */
export async function fileAnswer(page: Page, request: PageRequest): Promise<ChallengeAnswer | undefined> {
  const file = await pageFile(page, request)
  return file && answered(file)
}

function answered({ status, headers, body: text }: PageAnswer, under: Readonly<Record<string, string>> = {}): ChallengeAnswer {
  const all = new Headers(under)
  for (const [name, value] of Object.entries(headers)) all.set(name, value)
  return plainAnswer({ status, text, headers: Object.fromEntries(all) })
}
