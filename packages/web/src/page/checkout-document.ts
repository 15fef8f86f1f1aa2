import { findAsset, formatNetwork, networkFamily } from '@flow402x/core'
import { type Html, html, type PageVisit } from '@flow402x/core/page'
import { asked, type DocumentOptions, framed, type Offer, paidIn, wallets, withoutScript } from './frame.ts'

/** Where the frame is in which bought pages are shown, and what pays on Solana, beside what every page has. */
export type CheckoutOptions = DocumentOptions & { readonly frame: string; readonly solana: string }

/** The page of what is bought whole. */
export function checkoutDocument(visit: PageVisit, { frame, solana, ...options }: CheckoutOptions): Html {
  const offers = visit.accepts.filter(isPayable)
  const [first] = offers.length > 0 ? offers : visit.accepts
  return framed(
    {
      visit,
      price: first === undefined ? '' : asked(first),
      told: html` data-frame="${frame}" data-solana="${solana}"`,
      stage: html`<div class="empty" data-part="empty"><svg viewBox="0 0 24 24" aria-hidden="true"><rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/></svg><p>What you buy is shown here.</p></div>
<div class="goods" data-part="goods" tabindex="-1" hidden></div>
`,
      pay: paying(offers.length > 0 ? offers : visit.accepts, offers),
    },
    options,
  )
}

/** The panel where it is paid, and what came of it. */
function paying(all: readonly Offer[], offers: readonly Offer[]): Html {
  const [first] = all
  return html`<p class="price"><strong>${first && asked(first)}</strong> once</p>
${
  offers.length === 0 &&
  html`<p class="fine">In ${all.map(paidIn).join(' or ')}.</p>
`
}${withoutScript}<div class="run" data-part="start" hidden>
${offers.length > 0 && ways(offers)}${wallets([...new Set(offers.map(({ network }) => formatNetwork(network)))].join(' or '))}<p class="fine">Your wallet asks you to sign this payment, and no other.</p>
</div>
<div class="over" data-part="over" hidden>
<h2 data-part="heading">Receipt</h2>
<dl data-part="receipt"></dl>
<div class="buttons"><button type="button" class="button" data-part="again" hidden>Ask again</button><button type="button" class="button quiet" data-part="anew" hidden>Buy again</button></div>
</div>
`
}

/** What can be chosen from, and who is paid: what is chosen here is what is signed. */
function ways(offers: readonly Offer[]): Html {
  return html`<fieldset class="ways"${offers.length === 1 && html` data-only`}><legend>${offers.length === 1 ? 'You pay' : 'Choose how you pay'}</legend>
${offers.map(
  (offer, at) =>
    html`<label class="way"><input type="radio" name="way" value="${at}" data-scheme="${offer.scheme}" data-network="${offer.network}" data-asset="${offer.asset}" data-amount="${offer.amount}" data-payee="${offer.payTo}"${at === 0 && html` checked`}><span><strong>${asked(offer)}</strong> ${paidIn(offer)}<span class="payee">to ${offer.payTo}</span></span></label>\n`,
)}</fieldset>
`
}

/** What wallets of a browser can pay: an exact amount on an EVM chain or on Solana, in a token that is known. */
function isPayable({ scheme, network, asset }: Offer): boolean {
  return scheme === 'exact' && ['eip155', 'solana'].includes(networkFamily(network)) && findAsset(network, asset) !== undefined
}
