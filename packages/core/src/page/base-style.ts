/**
 * What pages of this project have in common: colours, each named once for light and for dark (each pair of text and ground has a contrast of
 * 4.5 or more), letters, buttons and fields.
 */
export const baseStyle = /* css */ `
:root {
  color-scheme: light dark;
  --ground: light-dark(#ffffff, #0f1216);
  --raised: light-dark(#f6f8f9, #171b21);
  --line: light-dark(#e1e6ea, #2a3038);
  --edge: light-dark(#87929c, #66717d);
  --text: light-dark(#17202a, #e7ebef);
  --soft: light-dark(#525e6a, #a3aeb9);
  --accent: light-dark(#0b6e66, #5cd6c6);
  --on-accent: light-dark(#ffffff, #06211e);
  --tint: light-dark(#e6f4f2, #12302d);
  --good: light-dark(#127a45, #5fd394);
  --bad: light-dark(#b3401a, #f79a70);
  --bad-tint: light-dark(#fdf0ea, #34201a);
  --star: light-dark(#9a6300, #f2bd54);
  --faint: light-dark(#c9d0d6, #454d57);
  --sans: Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", "JetBrains Mono", Menlo, Consolas, monospace;
  font: 400 1rem/1.6 var(--sans);
  font-optical-sizing: auto;
  text-rendering: optimizeLegibility;
  -webkit-font-smoothing: antialiased;
  -webkit-text-size-adjust: 100%;
}
:root[data-theme="light"] { color-scheme: light }
:root[data-theme="dark"] { color-scheme: dark }

*, ::before, ::after { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--text); min-height: 100vh; display: flex; flex-direction: column; overflow-wrap: anywhere }
main { flex: 1; padding-block: 2.5rem 5rem }
main:focus { outline: none }
h1, h2, h3, p, ul, ol, dl, dd, blockquote, pre { margin: 0 }
ul, ol { padding: 0; list-style: none }
h1 { font-size: clamp(1.625rem, 1.3rem + 1.5vw, 2.25rem); line-height: 1.2; letter-spacing: -.022em; font-weight: 650; text-wrap: balance }
h2 { font-size: 1.125rem; line-height: 1.35; letter-spacing: -.011em; font-weight: 600 }
h3 { font-size: .9375rem; line-height: 1.4; font-weight: 600 }
strong { font-weight: 600 }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .2em }
code, pre { font-family: var(--mono); font-size: .875em }
svg { fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; flex: none }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px }
::selection { background: var(--tint) }
[hidden] { display: none !important }

.wide { width: 100%; max-width: 74rem; margin-inline: auto; padding-inline: clamp(1rem, 4vw, 2rem) }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.skip { position: absolute; left: 1rem; top: -4rem; z-index: 2; padding: .5rem 1rem; background: var(--accent); color: var(--on-accent); border-radius: 0 0 8px 8px }
.skip:focus { top: 0 }

.button, button[type="submit"] { display: inline-block; padding: .5rem 1.125rem; border: 1px solid var(--accent); border-radius: 8px; background: var(--accent); color: var(--on-accent); font: 550 .9375rem/1.5 var(--sans); text-decoration: none; cursor: pointer }
.button:hover, button[type="submit"]:hover { background: color-mix(in oklab, var(--accent) 88%, var(--text)) }
.button.quiet { background: none; border-color: var(--edge); color: var(--text) }
.button.quiet:hover { background: var(--raised) }
input:not([type="checkbox"]), select { width: 100%; padding: .5rem .75rem; border: 1px solid var(--edge); border-radius: 8px; background: var(--ground); color: var(--text); font: inherit; font-size: .9375rem; line-height: 1.5 }
input::placeholder { color: var(--soft); opacity: 1 }
input[aria-invalid] { border-color: var(--bad) }
input[type="checkbox"] { width: 1.0625rem; height: 1.0625rem; margin: 0; accent-color: var(--accent); vertical-align: -.15em }
select { appearance: none; padding-inline-end: 2rem; background: linear-gradient(45deg, transparent 50%, var(--soft) 50%) calc(100% - 1.125rem) 55% / .3125rem .3125rem no-repeat, linear-gradient(-45deg, transparent 50%, var(--soft) 50%) calc(100% - .8125rem) 55% / .3125rem .3125rem no-repeat, var(--ground); text-overflow: ellipsis }
:is(input, select):focus-visible { outline-offset: 0; border-color: var(--accent) }
label { font-size: .875rem; font-weight: 500 }
`
