import { baseStyle } from '@flow402x/core/page'

/** How the pages look, over what all pages of this project have in common. */
export const stylesheet: string = /* css */ `${baseStyle}
.top { border-bottom: 1px solid var(--line) }
.top .wide { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.75rem; padding-block: .75rem }
.brand { display: inline-flex; align-items: center; gap: .5rem; color: var(--text); font-weight: 650; letter-spacing: -.015em; text-decoration: none; margin-inline-end: auto; padding-block: .375rem }
.brand svg { width: 1.375rem; color: var(--accent); stroke-width: 2.25 }
nav[aria-label="Main"] { display: flex; gap: 1.5rem; font-size: .9375rem }
nav[aria-label="Main"] a { color: var(--soft); text-decoration: none; padding-block: .5rem }
nav[aria-label="Main"] a:hover, nav[aria-label="Main"] a[aria-current] { color: var(--text) }
nav[aria-label="Main"] a[aria-current] { font-weight: 550; box-shadow: inset 0 -2px var(--accent) }
.theme { display: inline-flex; align-items: center; gap: .5rem; padding: .375rem .625rem; background: none; border: 1px solid transparent; border-radius: 8px; color: var(--soft); font: inherit; font-size: .9375rem; cursor: pointer }
.theme:hover { color: var(--text); border-color: var(--line) }
.theme svg { width: 1.125rem; stroke-width: 1.5 }
.theme path { fill: currentColor; stroke: none }
footer { padding-block: 2rem 3rem; color: var(--soft); font-size: .875rem }
footer.wide::before { content: ""; display: block; border-top: 1px solid var(--line); margin-bottom: 1.5rem }
footer p { max-width: 44rem }
footer p + p { margin-top: .25rem }

.lead { color: var(--soft); margin-top: .5rem; max-width: 44rem; text-wrap: pretty }
.query { display: flex; gap: .5rem; margin-top: 1.5rem }
.query input { flex: 1; min-width: 0; padding: .75rem 1rem; font-size: 1rem; border-radius: 10px }
.query button[type="submit"] { border-radius: 10px; padding-inline: 1.5rem }
.columns { display: grid; grid-template-columns: 15rem minmax(0, 1fr); gap: 1rem 3.5rem; margin-top: 2.5rem; align-items: start }
.beside > h2 { display: none; font-size: .9375rem; padding-block: .375rem }
.filters summary { font-weight: 600; font-size: .9375rem; cursor: pointer; padding-block: .375rem }
.filters .on { margin-inline-start: .5rem; color: var(--accent); font-weight: 500 }
.fields { display: grid; gap: 1rem; padding-top: .75rem }
.field label { display: block; margin-bottom: .25rem }
.tick { display: flex; align-items: baseline; gap: .5rem }
.tick label { font-weight: 400; font-size: .9375rem }
.fields .apply button { width: 100% }

.count { color: var(--soft); font-size: .9375rem; padding-block: .375rem }
.count strong { color: var(--text); font-variant-numeric: tabular-nums }
#results[aria-busy] { opacity: .6 }
.chips { display: flex; flex-wrap: wrap; gap: .5rem; margin-block: .5rem 1rem }
.chips a { display: inline-block; padding: .125rem .75rem; border-radius: 99px; background: var(--tint); color: var(--text); font-size: .875rem; text-decoration: none }
.chips a:hover { text-decoration: line-through }
.note { margin-block: .75rem; padding: .75rem 1rem; border-radius: 8px; background: var(--bad-tint); border-inline-start: 3px solid var(--bad); font-size: .9375rem }

.listings > li { border-top: 1px solid var(--line) }
.listings > li:last-child { border-bottom: 1px solid var(--line) }
.listing { position: relative; display: flex; justify-content: space-between; gap: .5rem 2rem; padding-block: 1.25rem }
.listing .what { min-width: 0 }
.listing h2 { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden }
.listing h2 a { color: var(--text); text-decoration: none }
.listing h2 a::after { content: ""; position: absolute; inset: 0 -.75rem; border-radius: 10px }
.listing:hover h2 a { color: var(--accent) }
.listing h2 a:focus-visible { outline: none }
.listing h2 a:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -2px }
.where { margin-top: .125rem; color: var(--soft); font-size: .875rem; font-family: var(--mono); overflow: hidden }
.listing .where { white-space: nowrap; text-overflow: ellipsis }
.where a { color: inherit }
.method { font-size: .75rem; font-weight: 600; letter-spacing: .03em; color: var(--text) }
.about { margin-top: .5rem; overflow: hidden; text-wrap: pretty }
.listing .about { color: var(--soft); font-size: .9375rem; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2 }
.marks { display: flex; flex-wrap: wrap; align-items: center; gap: .125rem 1.125rem; margin-top: .625rem; color: var(--soft); font-size: .8125rem }
.health { display: inline-flex; align-items: center; gap: .4375rem }
.health::before { content: ""; width: .5rem; height: .5rem; border-radius: 50%; background: var(--edge); flex: none }
.health.healthy::before { background: var(--good) }
.health.failing::before { background: var(--bad); border-radius: 1px }
.health.unknown::before { background: none; border: 1.5px solid var(--edge) }
.verified { display: inline-flex; align-items: center; gap: .3125rem; color: var(--accent); font-weight: 500 }
.verified svg { width: 1rem; padding: .125rem; border-radius: 50%; background: var(--accent); color: var(--on-accent); stroke-width: 2.5 }
.stars { font-variant-numeric: tabular-nums; color: var(--text); font-weight: 500 }
.stars [aria-hidden] { color: var(--star) }
.faint { color: var(--faint) }
.listing .price { flex: none; max-width: 13rem; text-align: end }
.price strong { display: block; font-size: 1.25rem; line-height: 1.35; letter-spacing: -.015em; font-variant-numeric: tabular-nums }
.price span { display: block; color: var(--soft); font-size: .8125rem; line-height: 1.5 }
.paging { display: flex; align-items: center; justify-content: space-between; gap: 1rem; margin-top: 1.5rem; color: var(--soft); font-size: .875rem; font-variant-numeric: tabular-nums }
.empty { padding: 3rem 1.5rem; border: 1px dashed var(--edge); border-radius: 12px; text-align: center; color: var(--soft) }
.empty h2 { color: var(--text) }
.empty p + p { margin-top: 1rem }

.back { font-size: .875rem; margin-bottom: 1rem }
.back a { color: var(--soft); text-decoration: none }
.back a::before { content: "← "; }
.back a:hover { color: var(--text); text-decoration: underline }
.opening { max-width: 46rem }
.opening .where { margin-top: .5rem }
.opening .about { margin-top: 1rem; font-size: 1.0625rem }
.opening .marks { margin-top: 1rem; font-size: .875rem }
.marks a { color: inherit }
.split { display: grid; grid-template-columns: minmax(0, 1fr) 20rem; gap: 3.5rem; margin-top: 2.5rem; align-items: start }
.split > .body > section + section { margin-top: 3rem }
main > .split { margin-top: 0 }
aside { display: grid; gap: 1.25rem; position: sticky; top: 1.5rem; min-width: 0 }
.panel { padding: 1.25rem; border: 1px solid var(--line); border-radius: 12px; background: var(--raised); font-size: .875rem; min-width: 0 }
.panel h2 { font-size: .875rem; color: var(--soft); font-weight: 500; letter-spacing: 0 }
.panel > * + h2 { margin-top: 1.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line) }
.panel h2 + p { margin-top: .375rem }
.panel .price strong { display: inline; font-size: 1.75rem }
.panel .price span { display: inline; font-size: .9375rem }
.facts { display: grid; gap: .5rem; margin-top: .75rem }
.facts:not(:has(*)) { display: none }
.facts > div { display: flex; justify-content: space-between; gap: 1rem }
.facts dt { color: var(--soft); flex: none; max-width: 50% }
.facts dd { text-align: end; font-variant-numeric: tabular-nums; min-width: 0 }
.score strong { font-size: 1.25rem; font-variant-numeric: tabular-nums }
.score span, .panel .reason { color: var(--soft) }
.history { margin-top: 1rem; padding-inline-start: 1.125rem; border-inline-start: 1px solid var(--edge); display: grid; gap: .75rem }
.history li { position: relative; line-height: 1.4 }
.history li::before { content: ""; position: absolute; left: -1.375rem; top: .4em; width: .5rem; height: .5rem; border-radius: 50%; background: var(--edge) }
.history li.ahead::before { background: var(--raised); border: 1.5px solid var(--edge) }
.history li.healthy::before { background: var(--good) }
.history li.failing::before { background: var(--bad) }
.history span { display: block }
.history time { color: var(--soft); font-size: .8125rem }

.snippet { margin-top: 1.5rem; position: relative }
.snippet p { color: var(--soft); font-size: .9375rem }
pre { margin-top: .625rem; padding: 1rem 1.125rem; border: 1px solid var(--line); border-radius: 10px; background: var(--raised); overflow-x: auto; line-height: 1.65; tab-size: 2; overflow-wrap: normal; font-size: .8125rem }
pre code { font-size: inherit }
.copy { padding: .125rem .625rem; border: 1px solid var(--edge); border-radius: 6px; background: var(--ground); color: var(--text); font: 500 .75rem/1.6 var(--sans); cursor: pointer }
.copy:hover { background: var(--raised) }
.snippet .copy { position: absolute; top: 0; inset-inline-end: 0 }
.snippet h3 { padding-inline-end: 5rem; min-height: 1.75rem }
.panel pre { background: var(--ground); white-space: pre-wrap; overflow-wrap: anywhere }
.panel pre + .copy { margin-top: .5rem }
.panel pre ~ p { margin-top: .75rem }
.address { display: inline-block; vertical-align: top; max-width: 100% }
.address summary { cursor: pointer; width: fit-content; white-space: nowrap; line-height: 1.5rem }
.address .whole { display: block; padding-block: .25rem; user-select: all; font-size: .8125rem }
.scroll { overflow-x: auto; margin-top: .75rem }
table { width: 100%; border-collapse: collapse; font-size: .875rem; overflow-wrap: normal }
th { text-align: start; font-weight: 500; color: var(--soft); font-size: .8125rem; white-space: nowrap }
th, td { padding: .75rem 1.25rem .75rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th:last-child, td:last-child { padding-inline-end: 0 }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums }
td.number span { color: var(--soft) }
td .address .whole { min-width: 14rem; overflow-wrap: anywhere }
.verdict { margin-top: .5rem; color: var(--soft); font-size: .9375rem }
.verdict strong { font-size: 1.5rem; color: var(--text); font-variant-numeric: tabular-nums; letter-spacing: -.015em }
.ratings { margin-top: 1.25rem }
.ratings li { padding-block: 1rem; border-top: 1px solid var(--line) }
.ratings time, .by, .hint { color: var(--soft); font-size: .8125rem }
.ratings time { margin-inline-start: .5rem }
blockquote { margin-top: .375rem; white-space: pre-line }
.by { display: flex; flex-wrap: wrap; gap: 0 .5rem; margin-top: .375rem }
.by span:last-child { margin-inline-start: .5rem }
.hint { display: block; margin-top: 1rem; max-width: 40rem }
#results > .hint { margin-block: 0 .75rem }

.form { display: grid; gap: 1.25rem; margin-top: 2rem; max-width: 34rem }
.form .hint { margin-top: .25rem }
.optional { color: var(--soft); font-weight: 400 }
.note ul { margin-top: .25rem; padding-inline-start: 1.25rem; list-style: disc }
.steps { margin-top: .5rem; display: grid; gap: .5rem; list-style: decimal; padding-inline-start: 1.25rem }
.actions { display: flex; flex-wrap: wrap; gap: .75rem }
.state { max-width: 40rem; padding-block: 2rem }
.state .where { margin-top: .75rem }
.state > .reason { margin-top: 1.25rem; font-size: 1.0625rem }
.state .facts { margin-top: 1.5rem; padding-block: 1rem; border-block: 1px solid var(--line); font-size: .9375rem }
.state .actions { margin-top: 1.5rem }

@media (min-width: 56rem) {
  main .resource .split > aside { grid-area: 1 / 2 }
  @supports selector(::details-content) {
    .filters::details-content { content-visibility: visible; display: block }
    .filters summary { display: none }
    .beside > h2 { display: block }
  }
}
@media (max-width: 55.99rem) {
  main { padding-block: 1.75rem 3rem }
  .columns, .split { grid-template-columns: minmax(0, 1fr) }
  .columns { margin-top: 1.25rem }
  .split { gap: 2.5rem; margin-top: 2rem }
  .fields { grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr)) }
  aside { position: static }
}
@media (max-width: 34rem) {
  .listing { flex-direction: column }
  .listing .price { text-align: start; max-width: none }
  .listing .price strong, .listing .price span { display: inline }
  .listing .price .more::before { content: "· " }
  .theme span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  nav[aria-label="Main"] { gap: 1rem; font-size: .875rem }
  .top .wide { column-gap: .75rem }
  .theme { padding-inline: .375rem }
  .query button[type="submit"] { padding-inline: 1rem }
}
@media (prefers-reduced-motion: no-preference) {
  a, button, .button { transition: color .12s, background-color .12s, border-color .12s }
}
@media (forced-colors: active) {
  .health::before, .history li::before { forced-color-adjust: none }
  select { appearance: auto }
}
@media print {
  .top, footer, .filters, .copy { display: none }
}
`
