import { resolveTxt } from 'node:dns/promises'
import { sameAddress } from '@flow402x/core'
import { type ListedFacts, type ListingOwner, ownerRecord, wellKnown, wellKnownPath } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import type { Fetcher } from '../fetching/fetcher.ts'
import { readJson } from '../fetching/json.ts'

/** The TXT records of a name, each as one text; none where there is no such name. */
export type ResolveText = (name: string) => Promise<readonly string[]>

/** Finds out whether the owner of an origin stands by what one of its URLs asks (H41). */
export type OwnerCheck = (facts: ListedFacts, options?: { readonly signal?: AbortSignal | undefined }) => Promise<ListingOwner>

/** The records as the system's resolver has them. */
export async function systemText(name: string): Promise<readonly string[]> {
  return (await resolveTxt(name)).map((parts) => parts.join(''))
}

/**
 * A check by what only an owner can write: the file of the origin, which names the resource and one of its payees, or a TXT record that
 * names a payee.
 */
export function createOwnerCheck({ fetcher, resolveText }: { readonly fetcher: Fetcher; readonly resolveText: ResolveText }): OwnerCheck {
  return async (facts, { signal } = {}) => {
    const payees = facts.accepts.map(({ payTo }) => payTo)
    const isPaid = (address: string): boolean => payees.some((payee) => sameAddress(payee, address))
    const { origin, hostname } = new URL(facts.resource)
    const answer = await fetcher(`${origin}${wellKnownPath}`, { signal })
    const file = 'body' in answer && answer.status === 200 ? z.safeParse(wellKnown, readJson(answer.body)).data : undefined
    const named = file?.resources.find((one) => sameResource(typeof one === 'string' ? one : one.resource, facts, origin))
    if (file !== undefined && named !== undefined) {
      const offers = typeof named === 'string' ? [] : (named.accepts ?? []).map(({ payTo }) => payTo)
      const told = [...(file.payTo ?? []), ...offers]
      // A bare list of URLs stands for the payees that they ask for.
      if (told.length === 0 || told.some(isPaid))
        return { verified: true, by: 'well-known', ...(file.receiptKeys == null ? {} : { receiptKeys: file.receiptKeys }) }
    }
    const records = await resolveText(ownerRecord(hostname)).catch(() => [])
    signal?.throwIfAborted()
    const owns = records.some((record) => isPaid(/^payTo=(\S{1,128})$/i.exec(record.trim())?.[1] ?? ''))
    return owns ? { verified: true, by: 'dns' } : { verified: false }
  }
}

function sameResource(named: string, { resource, example }: ListedFacts, origin: string): boolean {
  if (!URL.canParse(named, origin)) return false
  const page = (text: string): string => {
    const url = new URL(text)
    return `${url.origin}${decodeURI(url.pathname)}`
  }
  try {
    const url = page(new URL(named, origin).href)
    return [resource, example].some((own) => own != null && page(own) === url)
  } catch {
    return false
  }
}
