import { findAsset, formatNetwork, formatPrice, networkFamily } from '@flow402x/core'
import { type Html, html, type PageVisit } from '@flow402x/core/page'
import * as z from 'zod/mini'
import { type DocumentOptions, framed, type Offer, paidIn, wallets, withoutScript } from './frame.ts'

/** A visit to what is sold by units. */
type StreamVisit = PageVisit & Required<Pick<PageVisit, 'rate'>>

/** The whole page of a stream. */
export function streamDocument(visit: StreamVisit, options: DocumentOptions): Html {
  const { rate } = visit
  const offer = payable(visit)
  return framed(
    {
      visit,
      price: `${formatPrice(rate.price)} ${perUnit(rate)}`,
      told: html` data-unit="${rate.unit}" data-network="${offer?.network}" data-asset="${offer?.asset}"`,
      stage: html`<div class="empty" data-part="empty"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5v14l11-7z"/></svg><p>It starts with the first payment, and stops when you stop paying.</p></div>
<video data-part="video" controls playsinline hidden></video>
<div class="text" data-part="text" role="log" aria-label="What came so far" tabindex="0" hidden></div>
<p class="file" data-part="file" hidden></p>
`,
      pay: paying(visit, offer),
    },
    options,
  )
}

/** The panel where it is paid: how to start, what goes on, and what came of it, of which the script shows one. */
function paying(visit: StreamVisit, offer: Offer | undefined): Html {
  const { rate, accepts } = visit
  return html`<p class="price"><strong>${formatPrice(rate.price)}</strong> ${perUnit(rate)}</p>
<p class="fine">In ${(offer === undefined ? accepts : [offer]).map(paidIn).join(' or ')}. You pay for what you receive and nothing else.</p>
<div class="meters">
<div><h2>Paid</h2><p class="figure" data-part="paid">$0.00</p></div>
<div><h2>Received</h2><p class="figure"><span data-part="units">0</span> <span class="unit" data-part="unit">${rate.unit}s</span></p></div>
</div>
<progress data-part="used" value="0" max="1" aria-label="Part of the budget that is paid">0</progress>
<p class="fine" data-part="ahead">Nothing is signed yet.</p>
${withoutScript}<form data-part="start" hidden>
${questions(visit)}<div class="field"><label for="budget">Budget, in dollars</label><input id="budget" name="budget" inputmode="decimal" autocomplete="off" value="${usualBudget(visit)}" aria-describedby="budget-says"><p class="fine" id="budget-says">The most that this can cost. What is left of it stays yours.</p></div>
${wallets(formatNetwork(offer?.network ?? ''))}</form>
<div class="run" data-part="run" hidden>
<div class="buttons"><button type="button" class="button" data-part="pause">Pause</button><button type="button" class="button quiet" data-part="finish">Finish</button></div>
<form class="more" data-part="more"><label for="more">Top up, in dollars</label><div class="buttons"><input id="more" name="more" inputmode="decimal" autocomplete="off" value="${usualBudget(visit)}"><button type="submit" class="button quiet" data-part="allow">Top up</button></div></form>
</div>
<div class="over" data-part="over" hidden>
<h2>Receipt</h2>
<dl data-part="receipt"></dl>
<div class="buttons"><button type="button" class="button" data-part="again">Start anew</button><button type="button" class="button quiet" data-part="refund" hidden>Get the rest back</button></div>
</div>
`
}

/** What the page can pay: the first offer of channels on an EVM chain, in a token that is known. */
function payable({ accepts }: PageVisit): Offer | undefined {
  return accepts.find(
    ({ scheme, network, asset }) =>
      scheme === 'batch-settlement' && networkFamily(network) === 'eip155' && findAsset(network, asset) !== undefined,
  )
}

function perUnit({ unit, per }: StreamVisit['rate']): string {
  return `per ${per === 1n ? unit : `${per} ${unit}s`}`
}

/** What a minute costs, or some hundred of anything else: enough to see what it is, and never a fraction of a cent. */
function usualBudget({ rate: { price, unit, per } }: StreamVisit): string {
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
