import { firstIssue, isX402Error, type PaymentRequired, paymentRequiredHeader } from '@flow402x/core'
import {
  type CatalogueEntry,
  judgeListing,
  type ListedFacts,
  type ListingClaims,
  type ListingReason,
  plainText,
} from '@flow402x/core/bazaar'
import { paymentRequiredV1, requiredFromV1 } from '@flow402x/core/v1'
import * as z from 'zod/mini'
import type { Fetched, Fetcher } from '../fetching/fetcher.ts'
import { readJson } from '../fetching/json.ts'

/** What a look at a resource shows: its 402 as a listing, or why there is nothing to list. */
export type Look =
  | { readonly live: true; readonly facts: ListedFacts; readonly target: CatalogueEntry['target']; readonly latencyMs: number }
  | { readonly live: false; readonly reason: ListingReason; readonly note?: string | undefined }

/** Looks at a resource as a buyer would who does not pay. */
export type Probe = (
  target: CatalogueEntry['target'],
  options: { readonly claims: ListingClaims; readonly signal?: AbortSignal | undefined },
) => Promise<Look>

/** A probe that fetches by `fetcher`. Without a method it tries the two that nearly everything answers to. */
export function createProbe(fetcher: Fetcher): Probe {
  return async ({ url, method }, { claims, signal }) => {
    let look: Look = { live: false, reason: 'no_402' }
    for (const verb of method === undefined ? ['GET', 'POST'] : [method]) {
      look = await lookWith(verb)
      // A resource that answers to one method alone says so in many ways; what cannot be reached says it once.
      if (look.live || look.reason !== 'no_402') return look
    }
    return look

    async function lookWith(verb: string): Promise<Look> {
      const sends = !['GET', 'HEAD', 'DELETE'].includes(verb)
      const body = sends ? { body: '{}', headers: { 'content-type': 'application/json' } } : {}
      const answer = await fetcher(url, { method: verb, ...body, signal })
      if ('reason' in answer) return { live: false, reason: answer.reason, note: answer.message }
      if (answer.status !== 402) return { live: false, reason: 'no_402', note: `${verb} was answered with ${answer.status}.` }
      const read = readRequired(answer)
      if ('why' in read) return { live: false, reason: 'bad_offer', note: plainText(read.why, 300) }
      const judged = judgeListing(read.required, { url: answer.url, method: verb, claims })
      if ('reason' in judged) return { live: false, reason: judged.reason, note: plainText(judged.message, 300) }
      return { live: true, facts: judged.facts, target: { url: judged.example ?? answer.url, method: verb }, latencyMs: answer.latencyMs }
    }
  }
}

type Answer = Extract<Fetched, { readonly status: number }>

function readRequired({ headers, body }: Answer): { readonly required: PaymentRequired } | { readonly why: string } {
  const header = headers.get(paymentRequiredHeader.name)
  if (header !== null) {
    try {
      return { required: paymentRequiredHeader.decode(header) }
    } catch (error) {
      return { why: isX402Error(error) ? error.message : 'its header cannot be read' }
    }
  }
  const parsed = z.safeParse(paymentRequiredV1, readJson(body))
  if (!parsed.success) return { why: `it has no ${paymentRequiredHeader.name} header, and its body: ${firstIssue(parsed.error)}` }
  const required = requiredFromV1(parsed.data)
  return required === undefined ? { why: 'it names only networks that nobody knows' } : { required }
}
