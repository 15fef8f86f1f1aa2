import { findAsset, formatAmount, formatDecimal, formatNetwork, fromAtomic } from '@flow402x/core'
import { brandSign, type Html, html, type PageVisit, type Part, pageStart } from '@flow402x/core/page'

/** Where the files of a page are, what its browser knows them by, and where local worlds give test money. */
export type DocumentOptions = {
  readonly script: string
  readonly style: string
  readonly nonce: string
  readonly testWallet?: string | undefined
}

/** What stands in a page of its own. */
export type Framed = {
  readonly visit: PageVisit
  readonly price: string
  /** What its script is told, as attributes of the body. */
  readonly told: Html
  /** What you see before you have it. */
  readonly stage: Html
  readonly pay: Html
}

/** What every page to be paid on has: what is sold, the place where it is shown, and the panel where it is paid. What sellers wrote is text. */
export function framed({ visit, price, told, stage, pay }: Framed, { script, style, nonce, testWallet }: DocumentOptions): Html {
  const { resource } = visit
  const { host, pathname } = new URL(visit.url)
  const title = resource.serviceName ?? pathname
  return html`${pageStart}
<meta name="robots" content="noindex">
<title>${title} · ${price}</title>
<link rel="stylesheet" href="${style}" nonce="${nonce}">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%230b6e66'/%3E%3Cpath d='M5 9c2.3-3 4.7-3 7 0s4.7 3 7 0M5 15c2.3-3 4.7-3 7 0s4.7 3 7 0' fill='none' stroke='%23fff' stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E">
<script type="module" src="${script}" nonce="${nonce}"></script>
</head>
<body${told} data-test-wallet="${testWallet}">
<a class="skip" href="#pay">Skip to payment</a>
<header class="wide bar"><span class="brand">${brandSign}${host}</span></header>
<main class="wide">
<section class="what">
<h1>${title}</h1>
${resource.description != null && html`<p class="lead">${resource.description}</p>\n`}</section>
<section class="stage" aria-label="What you pay for">
${stage}</section>
<section class="pay" id="pay" tabindex="-1" aria-label="Payment">
${pay}<p class="said" role="status" data-part="said"></p>
</section>
</main>
</body>
</html>
`
}

/** For whom the script does not run. */
export const withoutScript: Html = html`<noscript><p class="note">Paying from a browser takes JavaScript. Without it, any x402 client can pay this address.</p></noscript>\n`

/** The buttons of wallets, and what is said where there are none. */
export function wallets(networks: Part): Html {
  return html`<div class="wallets" data-part="wallets"></div>
<p class="note" data-part="none">No wallet was found in this browser. Install one for ${networks}, then load this page again.</p>
`
}

/** An offer of a 402. */
export type Offer = PageVisit['accepts'][number]

/** What an offer is paid in and where, as people read it. */
export function paidIn({ network, asset }: Offer): string {
  return `${findAsset(network, asset)?.symbol ?? asset} on ${formatNetwork(network)}`
}

/** What an offer asks, as people read it: dollars for what is worth one, else the token itself. */
export function asked({ network, asset: address, amount }: Offer): string {
  const asset = findAsset(network, address)
  if (asset === undefined) return `${amount} units of ${address}`
  const units = BigInt(amount)
  if (asset.currency !== 'USD') return formatAmount(units, asset)
  const [whole = '0', cents = ''] = formatDecimal(fromAtomic(units, asset.decimals)).split('.')
  return `$${whole}.${cents.padEnd(2, '0')}`
}
