import { assets, networks } from '@flow402x/core'
import type { Listing } from '@flow402x/core/bazaar'
import { type Html, html, type Part } from '@flow402x/core/page'
import type { Page } from '../frame/frame.ts'
import { resourcePath } from './paths.ts'
import { type FilterName, lastPage, pageSize, type Search, searchPath } from './search.ts'
import {
  grouped,
  healthMark,
  leadPrice,
  networkName,
  networksOf,
  plural,
  ratingMark,
  said,
  shortened,
  shownPrice,
  titleOf,
  verifiedMark,
} from './words.ts'

/** What a search came to: the listings of one page. */
export type Found = {
  readonly listings: readonly Listing[]
  /** How many there are in all, where that is known. */
  readonly total?: number
  /** Whether another page follows. */
  readonly more: boolean
  /** Nothing has all of the words; these have some. */
  readonly partial?: boolean
}

/** The page that finds listings, by words and filters. */
export function searchPage(search: Search, found: Found): Page {
  const { words, page } = search
  const asked = words !== '' || page > 1 || filtersOn(search).length > 0
  return {
    title: words === '' ? 'Search' : `“${shortened(words, 80)}”`,
    current: 'search',
    indexed: !asked,
    body: html`${bar(search)}
<div class="columns">
${filters(search)}
<section aria-label="Results">
<p id="count" class="count" role="status">${countOf(search, found)}</p>
<div id="results">
${notes(search, found)}${chips(search)}${found.listings.length === 0 ? nothing(search) : listingsOf(found.listings)}
${paging(search, found)}
</div>
</section>
</div>`,
  }
}

function bar({ words }: Search): Html {
  return html`<form id="search" class="bar" role="search" action="/">
<h1>Pay for what you call, as you call it</h1>
<p class="lead">APIs, streams and agent tools that answer when they are paid. No account and no key.</p>
<div class="query">
<label class="unseen" for="query">What should it do?</label>
<input id="query" name="query" type="search" value="${words}" placeholder="What should it do? Weather, stories, live video …" maxlength="500" autocomplete="off" enterkeyhint="search">
<button type="submit">Search</button>
</div>
</form>`
}

const units = ['request', 'second', 'view', 'token', 'byte']
const transports = ['sse', 'ndjson', 'range', 'hls', 'ws', 'window', 'view']
const symbols = [...new Set(assets.map(({ symbol }) => symbol))]
const kinds = [
  'ai.text-generation',
  'ai.image-generation',
  'ai.speech',
  'ai.embeddings',
  'data.weather',
  'data.finance',
  'data.search',
  'media.video',
  'media.audio',
  'storage',
  'tools',
]

function filters(search: Search): Html {
  const { filters: set, wrong } = search
  const on = filtersOn(search).length
  const price = wrong.maxPrice ?? set.maxPrice
  return html`<div class="beside">
<h2>Filters</h2>
<details class="filters"${wrong.maxPrice !== undefined && html` open`}>
<summary>Filters <span id="on" class="on">${on > 0 && `${on} on`}</span></summary>
<div class="fields">
<p class="field"><label for="category">Category</label><input id="category" name="category" form="search" list="categories" value="${wrong.category ?? set.category}" placeholder="ai.text-generation" autocapitalize="none" spellcheck="false"></p>
<datalist id="categories">${kinds.map((kind) => html`<option value="${kind}">`)}</datalist>
<p class="field"><label for="maxPrice">Highest price per unit</label><input id="maxPrice" name="maxPrice" form="search" inputmode="decimal" pattern="\\$?\\s*[0-9]+(\\.[0-9]+)?" value="${price}" placeholder="$0.05"${wrong.maxPrice !== undefined && html` aria-invalid="true" aria-describedby="wrong"`}></p>
${choice(search, { name: 'network', label: 'Network', empty: 'Any network', options: networks.map(({ network, title }) => [network, title]) })}
${choice(search, { name: 'asset', label: 'Asset', empty: 'Any asset', options: symbols.map(named) })}
${choice(search, { name: 'unit', label: 'Paid per', empty: 'Any unit', options: units.map(named) })}
${choice(search, { name: 'transport', label: 'Stream travels by', empty: 'Any way', options: transports.map(named) })}
${choice(search, {
  name: 'type',
  label: 'Kind',
  empty: 'HTTP and MCP',
  options: [
    ['http', 'HTTP'],
    ['mcp', 'MCP tool'],
  ],
})}
${choice(search, {
  name: 'sort',
  label: 'Order',
  empty: 'Best first',
  options: [
    ['price', 'Cheapest first'],
    ['new', 'Newest first'],
  ],
})}
<p class="tick"><input type="checkbox" id="verified" name="verified" value="true" form="search"${set.verified === true && html` checked`}> <label for="verified">Verified owners only</label></p>
<p class="tick"><input type="checkbox" id="healthy" name="healthy" value="true" form="search"${set.healthy === true && html` checked`}> <label for="healthy">Healthy only</label></p>
<p class="apply"><button type="submit" form="search">Show results</button></p>
</div>
</details>
</div>`
}

type Option = readonly [value: string, label: string]

const named = (value: string): Option => [value, value]

function choice(
  { filters: set }: Search,
  { name, label, empty, options }: { name: FilterName; label: string; empty: string; options: readonly Option[] },
): Html {
  const chosen = set[name] === undefined || set[name] === 'best' ? '' : String(set[name])
  // What came by a link stays chosen, also where the list lacks it.
  const listed = chosen === '' || options.some(([value]) => value === chosen) ? options : [...options, named(chosen)]
  return html`<p class="field"><label for="${name}">${label}</label><select id="${name}" name="${name}" form="search">
<option value="">${empty}</option>${listed.map(([value, text]) => html`<option value="${value}"${value === chosen && html` selected`}>${text}</option>`)}
</select></p>`
}

const chipLabels: Readonly<Record<Exclude<FilterName, 'sort'>, string>> = {
  category: 'Category',
  maxPrice: 'At most',
  network: 'Network',
  asset: 'Asset',
  unit: 'Per',
  transport: 'By',
  type: 'Kind',
  tag: 'Tag',
  scheme: 'Scheme',
  payTo: 'Paid to',
  verified: 'Verified owners',
  healthy: 'Healthy',
}

/** Order is no filter: it leaves nothing out. */
function filtersOn({ filters: set }: Search): (keyof typeof chipLabels)[] {
  // The labels have exactly the names of the filters.
  return (Object.keys(chipLabels) as (keyof typeof chipLabels)[]).filter((name) => set[name] !== undefined)
}

function chips(search: Search): Part {
  const on = filtersOn(search)
  return (
    on.length > 0 &&
    html`<ul class="chips" aria-label="Filters that are on">${on.map((name) => {
      const { [name]: value, ...rest } = search.filters
      const text = typeof value === 'boolean' ? '' : name === 'network' ? networkName(String(value)) : said(String(value), 40)
      return html`<li><a href="${searchPath({ words: search.words, filters: rest })}"><span class="unseen">Remove </span>${chipLabels[name]} ${text}<span aria-hidden="true"> ×</span></a></li>`
    })}</ul>`
  )
}

function notes({ wrong, words }: Search, { partial }: Found): Part {
  const [[name, text = ''] = []] = Object.entries(wrong)
  const address = /^https?:\/\/\S+$/.test(words) && resourcePath({ resource: words, method: '' })
  return html`${name !== undefined && html`<p id="wrong" class="note" role="alert">${name === 'maxPrice' ? 'The highest price is a number such as 0.05' : `“${name}” cannot be looked for like that`}; “${said(text, 40)}” was left out.</p>`}
${address && html`<p class="hint">Looking for one address? <a href="${address}">See where it stands here, and why.</a></p>`}
${partial && html`<p class="hint">Nothing has all of these words. These have some of them.</p>`}`
}

function countOf({ words, page }: Search, { total, listings }: Found): Part {
  const number = total ?? (page - 1) * pageSize + listings.length
  return html`${total === undefined && 'More than '}<strong>${grouped(number)}</strong> ${number === 1 ? 'resource' : 'resources'}${words !== '' && html` for “${said(words, 80)}”`}${page > 1 && html`, page ${grouped(page)}`}`
}

function listingsOf(listings: readonly Listing[]): Html {
  return html`<ol class="listings">${listings.map((listing) => html`<li>${card(listing)}</li>`)}</ol>`
}

function card(listing: Listing): Html {
  const { description, method, resource, stream, owner, category } = listing
  const price = leadPrice(listing)
  const shown = shownPrice(price)
  const others = listing.prices.length - 1
  return html`<article class="listing">
<div class="what">
<h2><a href="${resourcePath(listing)}">${said(titleOf(listing), 80)}</a></h2>
<p class="where"><span class="method">${method}</span> ${said(resource.replace(/^https:\/\//, ''), 120)}</p>
${description && html`<p class="about">${said(description, 240)}</p>`}
<p class="marks">${healthMark(listing)} ${ratingMark(listing)} ${owner.verified && verifiedMark} ${category && html`<span>${said(category, 60)}</span>`} <span>${networksOf(listing).slice(0, 3).map(networkName).join(', ')}</span> ${stream && html`<span>Stream${stream.transports && `: ${stream.transports.slice(0, 4).join(', ')}`}</span>`}</p>
</div>
${price && html`<p class="price"><strong>${shown.money}</strong> <span>${shown.per}</span>${others > 0 && html` <span class="more">${plural(others, 'more offer')}</span>`}</p>`}
</article>`
}

function nothing(search: Search): Html {
  if (search.page > 1) {
    return html`<div class="empty"><h2>There is no such page</h2><p>The results end before it.</p><p><a class="button" href="${searchPath({ ...search, page: 1 })}">Back to the first page</a></p></div>`
  }
  if (search.words === '' && filtersOn(search).length === 0) {
    return html`<div class="empty"><h2>Nothing is listed yet</h2><p>Be the first: give the address of something that answers with a 402.</p><p><a class="button" href="/register">List a resource</a></p></div>`
  }
  const wider = filtersOn(search).length > 0 && search.words !== ''
  return html`<div class="empty"><h2>Nothing matches</h2><p>Try fewer or other words, or a wider filter.</p><p>${wider && html`<a class="button" href="${searchPath({ words: search.words, filters: {} })}">Search without filters</a> `}<a class="button quiet" href="/">See everything</a></p></div>`
}

function paging(search: Search, { total, more, listings }: Found): Part {
  const { page } = search
  const before = (page - 1) * pageSize
  const to = (target: number) => searchPath({ ...search, page: target })
  return (
    (more || page > 1) &&
    listings.length > 0 &&
    html`<nav class="paging" aria-label="Pages of results">
${page > 1 ? html`<a class="button quiet" rel="prev" href="${to(page - 1)}">Previous</a>` : html`<span></span>`}
<span>${grouped(before + 1)}–${grouped(before + listings.length)}${total !== undefined && ` of ${grouped(total)}`}</span>
${more && page < lastPage ? html`<a class="button quiet" rel="next" href="${to(page + 1)}">Next</a>` : html`<span></span>`}
</nav>`
  )
}
