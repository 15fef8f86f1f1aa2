import { findAsset, formatNetwork, formatPrice, networkFamily } from '@flow402x/core'
import { brandSign, type Html, html, pageStart } from '@flow402x/core/page'
import type { PageVisit } from '@flow402x/core/stream'
import * as z from 'zod/mini'

/** Where the files of a page are, what its browser knows them by, and where local worlds give test money. */
export type DocumentOptions = {
  readonly script: string
  readonly style: string
  readonly nonce: string
  readonly testWallet?: string | undefined
}

/** The whole page of a stream. What its seller wrote is text, and nothing else. */
export function streamDocument(visit: PageVisit, { script, style, nonce, testWallet }: DocumentOptions): Html {
  const { resource, rate } = visit
  const { host, pathname } = new URL(visit.url)
  const title = resource.serviceName ?? pathname
  const price = `${formatPrice(rate.price)} ${perUnit(rate)}`
  const offer = payable(visit)
  return html`${pageStart}
<meta name="robots" content="noindex">
<title>${title} · ${price}</title>
<link rel="stylesheet" href="${style}" nonce="${nonce}">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%230b6e66'/%3E%3Cpath d='M5 9c2.3-3 4.7-3 7 0s4.7 3 7 0M5 15c2.3-3 4.7-3 7 0s4.7 3 7 0' fill='none' stroke='%23fff' stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E">
<script type="module" src="${script}" nonce="${nonce}"></script>
</head>
<body data-unit="${rate.unit}" data-network="${offer?.network}" data-asset="${offer?.asset}" data-test-wallet="${testWallet}">
<a class="skip" href="#pay">Skip to payment</a>
<header class="wide bar"><span class="brand">${brandSign}${host}</span></header>
<main class="wide">
<section class="what">
<h1>${title}</h1>
${resource.description != null && html`<p class="lead">${resource.description}</p>\n`}</section>
<section class="stage" aria-label="What you pay for">
<div class="empty" data-part="empty"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5v14l11-7z"/></svg><p>It starts with the first payment, and stops when you stop paying.</p></div>
<video data-part="video" controls playsinline hidden></video>
<div class="text" data-part="text" role="log" aria-label="What came so far" tabindex="0" hidden></div>
<p class="file" data-part="file" hidden></p>
</section>
${paying(visit, offer)}</main>
</body>
</html>
`
}

/** The panel where it is paid: how to start, what goes on, and what came of it, of which the script shows one. */
function paying(visit: PageVisit, offer: Offer | undefined): Html {
  const { rate, accepts } = visit
  return html`<section class="pay" id="pay" tabindex="-1" aria-label="Payment">
<p class="price"><strong>${formatPrice(rate.price)}</strong> ${perUnit(rate)}</p>
<p class="fine">In ${(offer === undefined ? accepts : [offer]).map(paidIn).join(' or ')}. You pay for what you receive and nothing else.</p>
<div class="meters">
<div><h2>Paid</h2><p class="figure" data-part="paid">$0.00</p></div>
<div><h2>Received</h2><p class="figure"><span data-part="units">0</span> <span class="unit" data-part="unit">${rate.unit}s</span></p></div>
</div>
<progress data-part="used" value="0" max="1" aria-label="Part of the budget that is paid">0</progress>
<p class="fine" data-part="ahead">Nothing is signed yet.</p>
<noscript><p class="note">Paying from a browser takes JavaScript. Without it, any x402 client can pay this address.</p></noscript>
<form data-part="start" hidden>
${questions(visit)}<div class="field"><label for="budget">Budget, in dollars</label><input id="budget" name="budget" inputmode="decimal" autocomplete="off" value="${usualBudget(visit)}" aria-describedby="budget-says"><p class="fine" id="budget-says">The most that this can cost. What is left of it stays yours.</p></div>
<div class="wallets" data-part="wallets"></div>
<p class="note" data-part="none">No wallet was found in this browser. Install one for ${formatNetwork(offer?.network ?? '')}, then load this page again.</p>
</form>
<div class="run" data-part="run" hidden>
<div class="buttons"><button type="button" class="button" data-part="pause">Pause</button><button type="button" class="button quiet" data-part="finish">Finish</button></div>
<form class="more" data-part="more"><label for="more">Top up, in dollars</label><div class="buttons"><input id="more" name="more" inputmode="decimal" autocomplete="off" value="${usualBudget(visit)}"><button type="submit">Top up</button></div></form>
</div>
<div class="over" data-part="over" hidden>
<h2>Receipt</h2>
<dl data-part="receipt"></dl>
<div class="buttons"><button type="button" class="button" data-part="again">Start anew</button><button type="button" class="button quiet" data-part="refund" hidden>Get the rest back</button></div>
</div>
<p class="said" role="status" data-part="said"></p>
</section>
`
}

type Offer = PageVisit['accepts'][number]

/** What the page can pay: the first offer of channels on an EVM chain, in a token that is known. */
function payable({ accepts }: PageVisit): Offer | undefined {
  return accepts.find(
    ({ scheme, network, asset }) =>
      scheme === 'batch-settlement' && networkFamily(network) === 'eip155' && findAsset(network, asset) !== undefined,
  )
}

function paidIn({ network, asset }: Offer): string {
  return `${findAsset(network, asset)?.symbol ?? asset} on ${formatNetwork(network)}`
}

function perUnit({ unit, per }: PageVisit['rate']): string {
  return `per ${per === 1n ? unit : `${per} ${unit}s`}`
}

/** What a minute costs, or some hundred of anything else: enough to see what it is, and never a fraction of a cent. */
function usualBudget({ rate: { price, unit, per } }: PageVisit): string {
  const count = unit === 'second' ? 30n : 500n
  const { units, scale } = price.amount
  const [cost, cent] = [units * count * 100n, per * 10n ** BigInt(scale)]
  const cents = (cost + cent - 1n) / cent
  return `${cents / 100n}.${`${cents % 100n}`.padStart(2, '0')}`
}

const declaration = z.looseObject({
  input: z.looseObject({ queryParams: z.nullish(z.record(z.string(), z.unknown())) }),
})
const mostQuestions = 8

/** A field for each parameter of the query that the seller describes, with what the address has of it, or his example. */
function questions({ url, extensions }: PageVisit): Html[] {
  const described = extensions.find(({ key }) => key === 'bazaar')?.declare().info
  const { queryParams } = z.safeParse(declaration, described).data?.input ?? {}
  const asked = new URL(url).searchParams
  return Object.entries(queryParams ?? {})
    .slice(0, mostQuestions)
    .map(([name, example]) => {
      const value = asked.get(name) ?? (typeof example === 'string' || typeof example === 'number' ? String(example) : '')
      return html`<div class="field"><label for="query-${name}">${titled(name)}</label><input id="query-${name}" data-query="${name}" autocomplete="off" value="${value}"></div>\n`
    })
}

function titled(name: string): string {
  return `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`
}
