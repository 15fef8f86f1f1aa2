import type { Extension } from '../protocol/extension.ts'
import type { PaymentRequirements, ResourceInfo } from '../protocol/payment.ts'
import type { Rate } from '../protocol/rate.ts'

/** A visit to a stream by somebody who pays nothing yet, and what is asked of him. */
export type PageVisit = {
  /** Absolute, as the visitor asked for it. */
  readonly url: string
  header(name: string): string | undefined
  readonly resource: ResourceInfo
  readonly rate: Rate
  readonly accepts: readonly PaymentRequirements[]
  /** What the seller says of the resource, whole. */
  readonly extensions: readonly Extension[]
}

/** What a visitor sees. Its headers come over those of the offer, which is sent all the same. */
export type PageAnswer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }

/**
 * Shows a stream to people: a page where a browser opens the stream's URL, and the files of that page; nothing where a program asks, which
 * then gets the offer alone.
 */
export type StreamPage = (visit: PageVisit) => Promise<PageAnswer | undefined>
