import type { ListingState, ListingStatus } from '@flow402x/core/bazaar'
import { html } from '@flow402x/core/page'
import type { Page } from '../frame/frame.ts'
import { moment, outbound, said } from './words.ts'

const headings: Readonly<Record<ListingState, string>> = {
  unknown: 'Nobody has listed this here',
  pending: 'This is about to be looked at',
  listed: 'This is listed',
  unlisted: 'This listing was removed',
  rejected: 'This was not listed',
}

/** The page of what is not listed: the reason stays to be read (H12). */
export function statePage({ resource, state, message, reason, since, nextProbeAt }: ListingStatus): Page {
  const register = `/register?${new URLSearchParams({ url: resource })}`
  return {
    title: headings[state],
    status: state === 'unknown' ? 404 : 200,
    indexed: false,
    body: html`<section class="state">
<h1>${headings[state]}</h1>
<p class="where">${outbound(resource)}</p>
<p class="reason">${said(message, 600)}</p>
<dl class="facts">
<div><dt>Reason</dt><dd><code>${said(reason, 64)}</code></dd></div>
${since != null && html`<div><dt>Since</dt><dd>${moment(since)}</dd></div>`}
${nextProbeAt != null && html`<div><dt>Looked at next</dt><dd>${moment(nextProbeAt)}</dd></div>`}
</dl>
<p class="actions">${state !== 'pending' && html`<a class="button" href="${register}">${state === 'unknown' ? 'Register it' : 'Register it again'}</a>`} <a class="button quiet" href="/">Search others</a></p>
</section>`,
  }
}

/** The page of an address where there is none. */
export const lostPage: Page = {
  title: 'Not found',
  status: 404,
  indexed: false,
  body: html`<section class="state"><h1>There is no page here</h1><p class="reason">The address may be mistyped.</p><p class="actions"><a class="button" href="/">Search the bazaar</a></p></section>`,
}

/** The page that is shown where the catalogue did not answer. */
export const brokenPage: Page = {
  title: 'Out of order',
  status: 503,
  indexed: false,
  body: html`<section class="state"><h1>The catalogue did not answer</h1><p class="reason">This is not your doing. Try again in a moment.</p><p class="actions"><a class="button" href="/">Search the bazaar</a></p></section>`,
}
