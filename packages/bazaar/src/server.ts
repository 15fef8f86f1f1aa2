export { createFetcher } from './fetching/fetcher.ts'
export { createPages, type PageSource, type PagesOptions } from './pages/pages.ts'
