import type { Listing, ListingPrice, ListingStatus, PublishedRating } from '@flow402x/core/bazaar'
import { type Html, html, type Part } from '@flow402x/core/page'
import type { Page } from '../frame/frame.ts'
import { callsOf } from './calls.ts'
import {
  addressOf,
  assetName,
  grouped,
  healthMark,
  leadPrice,
  moment,
  moneyFor,
  networkName,
  outbound,
  plural,
  ratingMark,
  rounded,
  said,
  shortened,
  shownPrice,
  titleOf,
  verifiedMark,
} from './words.ts'

/** The page of a listed resource. */
export function resourcePage(
  listing: Listing,
  { status, ratings }: { readonly status: ListingStatus; readonly ratings: readonly PublishedRating[] },
): Page {
  return {
    title: shortened(titleOf(listing), 80),
    body: html`<article class="resource">
<p class="back"><a href="/">All resources</a></p>
${opening(listing)}
<div class="split">
<aside aria-label="In short">
${priceOf(listing)}
${standing(listing, status)}
</aside>
<div class="body">
${waysToCall(listing)}
${offers(listing)}
${opinions(listing, ratings)}
</div>
</div>
</article>`,
  }
}

function opening(listing: Listing): Html {
  const { method, resource, description, owner, category, tags } = listing
  return html`<header class="opening">
<h1>${said(titleOf(listing), 120)}</h1>
<p class="where"><span class="method">${method}</span> ${outbound(resource)}</p>
${description && html`<p class="about">${said(description, 2000)}</p>`}
<p class="marks">${healthMark(listing)} ${ratingMark(listing)} ${owner.verified && verifiedMark} ${category && html`<a href="/?${new URLSearchParams({ category }).toString()}">${said(category, 100)}</a>`} ${tags?.slice(0, 10).map((tag) => html`<a class="tag" href="/?${new URLSearchParams({ tag }).toString()}">${said(tag, 40)}</a> `)}</p>
</header>`
}

function waysToCall(listing: Listing): Part {
  const calls = callsOf(listing)
  return (
    calls.length > 0 &&
    html`<section aria-labelledby="call"><h2 id="call">How to call it</h2>
${calls.map(
  ({ id, title, note, code }) => html`<div class="snippet">
<h3 id="${id}">${title}</h3>
<p>${note}</p>
<pre tabindex="0" role="region" aria-labelledby="${id}"><code data-copy>${code}</code></pre>
</div>`,
)}</section>`
  )
}

function offers({ prices, accepts }: Listing): Html {
  return html`<section aria-labelledby="offers"><h2 id="offers">Ways to pay</h2>
<div class="scroll" tabindex="0" role="group" aria-labelledby="offers"><table>
<thead><tr><th scope="col">Price</th><th scope="col">Asset</th><th scope="col">Network</th><th scope="col">Scheme</th><th scope="col">Paid to</th></tr></thead>
<tbody>${prices.map((price, index) => offerRow(price, accepts[index]?.payTo))}</tbody>
</table></div></section>`
}

function offerRow(price: ListingPrice, payTo: string | undefined): Html {
  const { network, scheme, asset } = price
  const { money, per } = shownPrice(price)
  return html`<tr>
<td class="number"><strong>${money}</strong> <span>${per}</span></td>
<td><span title="${asset}">${said(assetName(price), 24)}</span></td>
<td><span title="${network}">${said(networkName(network), 40)}</span></td>
<td><code>${said(scheme, 40)}</code></td>
<td>${payTo !== undefined && addressOf(payTo)}</td>
</tr>`
}

function priceOf(listing: Listing): Html {
  const { stream, rateLimit, uptime } = listing
  const price = leadPrice(listing)
  const { money, per } = shownPrice(price)
  const ahead = stream?.window != null && price !== undefined ? moneyFor(price, { units: stream.window }) : undefined
  return html`<section class="panel" aria-labelledby="price"><h2 id="price">Price</h2>
<p class="price"><strong>${money}</strong> <span>${per}</span></p>
<dl class="facts">
${stream && html`<div><dt>Rate</dt><dd>${said(rounded(stream.rate), 80)}</dd></div>`}
${stream?.window != null && html`<div><dt>Window</dt><dd>${plural(stream.window, stream.unit)} ahead${ahead !== undefined && html`, at most ${rounded(ahead)}`}</dd></div>`}
${stream?.transports && html`<div><dt>Travels by</dt><dd>${said(stream.transports.join(', '), 120)}</dd></div>`}
${rateLimit && html`<div><dt>Limit, says its seller</dt><dd>${said(rateLimit, 64)}</dd></div>`}
${uptime && html`<div><dt>Uptime, says its seller</dt><dd>${said(uptime, 64)}</dd></div>`}
</dl></section>`
}

function standing({ health, owner, listedAt }: Listing, { message, since, nextProbeAt }: ListingStatus): Html {
  const checked = moment(health.checkedAt)
  return html`<section class="panel" aria-labelledby="health"><h2 id="health">Health</h2>
<p class="score"><strong>${Math.round(health.score * 100)}</strong> <span>of 100</span></p>
<p class="reason">${said(message, 400)}</p>
<ol class="history">
${nextProbeAt != null && html`<li class="ahead"><span>Looked at next</span> ${moment(nextProbeAt)}</li>`}
${checked && html`<li class="${health.status}"><span>${health.status === 'failing' ? 'Failed' : 'Answered'}${health.latencyMs != null && health.status !== 'failing' && html` in ${grouped(health.latencyMs)} ms`}</span> ${checked}</li>`}
${since != null && html`<li><span>In this state since</span> ${moment(since)}</li>`}
<li><span>First listed</span> ${moment(listedAt)}</li>
</ol>
<h2>Owner</h2>
<p>${owner.verified ? html`${verifiedMark} by ${owner.by === 'dns' ? 'a DNS record' : html`its <code>.well-known/x402</code>`}.` : 'Nobody has proved that the URL is theirs. The payee is the one that its own 402 names.'}</p>
</section>`
}

function opinions({ ratings: { average, count, weight, payers } }: Listing, ratings: readonly PublishedRating[]): Html {
  return html`<section aria-labelledby="ratings"><h2 id="ratings">What payers say</h2>
<p class="verdict">${average == null ? 'No rating yet.' : html`<strong>${average.toFixed(1)}</strong> <span>of 5, by ${plural(count, 'wallet')} that paid; together their word weighs ${weight.toFixed(1)}.</span>`} <span>${payers === 0 ? 'No independent wallet is known to have paid yet.' : `${plural(payers, 'independent wallet')} paid.`}</span></p>
${ratings.length > 0 && html`<ul class="ratings">${ratings.slice(0, 50).map(opinion)}</ul>`}
<p class="hint">Only wallets that paid can rate. A wallet counts for more the more unrelated sellers it has paid; a seller’s own do not count.</p></section>`
}

function opinion({ stars, comment, payer, network, transaction, issuedAt, weight }: PublishedRating): Html {
  const full = Math.min(5, Math.max(1, Math.round(stars)))
  return html`<li>
<p><span class="stars"><span aria-hidden="true">${'★'.repeat(full)}<span class="faint">${'★'.repeat(5 - full)}</span></span><span class="unseen">${full} of 5 stars</span></span> ${moment(issuedAt * 1000)}</p>
${comment && html`<blockquote><p>${said(comment, 1000)}</p></blockquote>`}
<div class="by"><span>by</span>${addressOf(payer)}<span>on ${said(networkName(network), 40)}, paid in</span>${addressOf(transaction)}<span>Weight ${weight.toFixed(2)}</span></div>
</li>`
}
