import { baseStyle } from '@flow402x/core/page'

/** How pages look on which is paid, over what all pages of this project have in common. */
export const stylesheet: string = /* css */ `${baseStyle}
.bar { padding-block: 1.125rem }
.brand { display: inline-flex; align-items: center; gap: .5rem; font-weight: 650; letter-spacing: -.015em }
.brand svg { width: 1.375rem; color: var(--accent); stroke-width: 2.25 }
main { padding-block: 1rem 4rem; display: grid; grid-template: "what pay" auto "stage pay" 1fr / minmax(0, 1fr) 22rem; gap: 1.5rem 3rem; align-items: start }
.what { grid-area: what }
.stage { grid-area: stage }
.pay { grid-area: pay; display: grid; gap: 1rem; padding: 1.5rem; border: 1px solid var(--line); border-radius: 14px; background: var(--raised) }
.pay:focus { outline: none }
.lead { color: var(--soft); margin-top: .375rem; text-wrap: pretty }
.fine { color: var(--soft); font-size: .875rem; line-height: 1.5 }

.stage > video, .stage .empty { display: block; width: 100%; aspect-ratio: auto 16 / 9; border-radius: 14px; background: #0b0e11 }
.stage > video { max-height: 75vh }
.stage video:focus-visible { border-radius: 14px }
.stage .empty { display: grid; place-content: center; justify-items: center; gap: .75rem; padding: 1.5rem; text-align: center; background: var(--raised); border: 1px dashed var(--edge); color: var(--soft) }
.empty svg { width: 2.5rem; color: var(--accent); stroke-width: 1.5 }
.text { min-height: 24rem; max-height: 36rem; overflow: auto; padding: 1.25rem 1.5rem; border: 1px solid var(--line); border-radius: 14px; font-size: 1.0625rem; line-height: 1.7; white-space: pre-wrap }
.file { padding: 1.25rem 1.5rem; border: 1px solid var(--line); border-radius: 14px }

.price { font-size: 1.0625rem; color: var(--soft) }
.price strong { font-size: 2rem; line-height: 1.1; letter-spacing: -.03em; font-weight: 650; color: var(--text) }
.price + .fine { margin-top: -.5rem }
.meters { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem }
.meters > div { padding: .75rem 1rem; border: 1px solid var(--line); border-radius: 10px; background: var(--ground); min-width: 0 }
.meters h2 { font-size: .8125rem; font-weight: 500; color: var(--soft) }
.figure { font-size: 1.375rem; line-height: 1.35; font-weight: 600; letter-spacing: -.02em; font-variant-numeric: tabular-nums; white-space: nowrap }
.figure .unit { font-size: .875rem; font-weight: 400; letter-spacing: 0; color: var(--soft) }
progress { appearance: none; display: block; width: 100%; height: .5rem; border: 0; border-radius: 99px; overflow: hidden; background: var(--line); color: var(--accent) }
progress::-webkit-progress-bar { background: var(--line) }
progress::-webkit-progress-value { background: var(--accent); border-radius: 99px }
progress::-moz-progress-bar { background: var(--accent); border-radius: 99px }
progress + .fine { margin-top: -.375rem; font-variant-numeric: tabular-nums }

.ways { margin: 0; padding: 0; border: 0; display: grid; gap: .5rem; min-width: 0 }
.ways legend { padding: 0; margin-bottom: .375rem; font-size: .8125rem; color: var(--soft) }
.way { display: flex; gap: .75rem; align-items: baseline; padding: .625rem .875rem; border: 1px solid var(--line); border-radius: 10px; background: var(--ground); font-size: .9375rem; font-weight: 400; min-width: 0 }
.way:has(:checked) { border-color: var(--accent) }
.way:focus-within { outline: 2px solid var(--accent); outline-offset: 2px }
.way input:not([type="checkbox"]) { flex: none; width: 1.0625rem; height: 1.0625rem; margin: 0; padding: 0; accent-color: var(--accent); outline: none; translate: 0 .15em }
.ways[data-only] .way { border-color: var(--line) }
.ways[data-only] input { display: none }
.payee { display: block; color: var(--soft); font: 400 .8125rem/1.5 var(--mono); word-break: break-all }

.goods { display: grid; gap: .75rem; min-width: 0 }
.goods:focus { outline: none }
.goods iframe { width: 100%; height: 75vh; border: 1px solid var(--line); border-radius: 14px }
.goods :is(img, video) { max-width: 100%; max-height: 75vh; border-radius: 14px; justify-self: start }
.goods audio { width: 100% }
.goods pre { max-height: 75vh; overflow: auto; padding: 1.25rem 1.5rem; border: 1px solid var(--line); border-radius: 14px; white-space: pre-wrap; overflow-wrap: anywhere }

form, .run, .over { display: grid; gap: 1rem }
.field { display: grid; gap: .25rem }
.wallets { display: grid; gap: .5rem }
.wallets .button, .buttons .button { width: 100% }
.buttons { display: flex; gap: .5rem }
.buttons > * { flex: 1 }
.buttons input { min-width: 0 }
.over .buttons { flex-wrap: wrap }
.over .button { flex: 1 0 auto; width: auto; white-space: nowrap }
.more { gap: .25rem; padding-top: 1rem; border-top: 1px solid var(--line) }
button:disabled { opacity: .55; cursor: default }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; font-size: .9375rem }
dt { color: var(--soft) }
dd { text-align: end; font-variant-numeric: tabular-nums }
.note { padding: .75rem 1rem; border-radius: 8px; background: var(--bad-tint); border-inline-start: 3px solid var(--bad); font-size: .9375rem }
.said { font-size: .9375rem }
.said:empty { display: none }
.said.wrong { padding: .75rem 1rem; border-radius: 8px; background: var(--bad-tint); border-inline-start: 3px solid var(--bad) }

@media (max-width: 55.99rem) {
  main { grid-template: "what" auto "stage" auto "pay" auto / minmax(0, 1fr); gap: 1.25rem; padding-block: .25rem 2.5rem }
  .pay { padding: 1.125rem }
  .text { min-height: 10rem; max-height: 45vh }
}
@media (prefers-reduced-motion: no-preference) {
  .button, button { transition: background-color .12s, border-color .12s }
  progress::-webkit-progress-value { transition: inline-size .2s linear }
}
@media (forced-colors: active) {
  progress { forced-color-adjust: none }
}
`
