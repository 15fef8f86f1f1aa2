import { brandSign, type Html, html, type Part, pageStart } from '@flow402x/core/page'

/** Where the files beside the pages are found. */
export type AssetPaths = { readonly stylesheet: string; readonly script: string; readonly icon: string }

/** What all pages of one bazaar have in common. */
export type Site = { readonly name: string; readonly assets: AssetPaths }

/** One page: what stands in the frame, and how it is answered. */
export type Page = {
  readonly title: string
  readonly body: Part
  readonly status?: number
  /** The entry of the navigation that this page is. */
  readonly current?: 'search' | 'register'
  /** Whether search engines may keep it. */
  readonly indexed?: boolean
}

/** A whole document around what a page says. */
export function framed({ title, body, current, indexed = true }: Page, { name, assets }: Site): Html {
  const here = (entry: Page['current']) => entry === current && html` aria-current="page"`
  return html`${pageStart}
${!indexed && html`<meta name="robots" content="noindex">\n`}<title>${title === name ? name : `${title} · ${name}`}</title>
<link rel="stylesheet" href="${assets.stylesheet}">
<link rel="icon" type="image/svg+xml" href="${assets.icon}">
<script src="${assets.script}"></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<div class="wide">
<a class="brand" href="/">${brandSign}${name}</a>
<nav aria-label="Main">
<a href="/"${here('search')}>Search</a>
<a href="/register"${here('register')}>List a resource</a>
</nav>
<button type="button" class="theme" data-theme-toggle aria-pressed="false" hidden><svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="7"/><path d="M10 3a7 7 0 0 1 0 14z"/></svg><span>Dark theme</span></button>
</div>
</header>
<main id="main" tabindex="-1" class="wide">
${body}
</main>
<footer class="wide">
<p>Names and descriptions are their sellers’ own words. Prices come from each resource’s own 402 answer, health from looking, ratings from wallets that paid.</p>
<p>For programs: <a href="/discovery/resources">list</a>, <a href="/discovery/search?query=weather">search</a>, <a href="/register#api">register</a>.</p>
</footer>
<p class="unseen" role="status" data-told></p>
</body>
</html>
`
}
