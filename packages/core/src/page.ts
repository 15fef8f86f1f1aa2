export { baseStyle } from './page/base-style.ts'
export { brandSign, pageStart } from './page/frame.ts'
export { type Html, html, type Part, plain, toText, visibleJson } from './page/html.ts'
export { isVisit, type Page, type PageAnswer, type PageRequest, type PageVisit, pageFile, pageFileAddress } from './page/visit.ts'
