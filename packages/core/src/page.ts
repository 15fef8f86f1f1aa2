export { baseStyle } from './page/base-style.ts'
export { type Html, html, type Part, plain, toText, visibleJson } from './page/html.ts'
