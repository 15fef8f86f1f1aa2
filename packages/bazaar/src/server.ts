export { createFetcher } from './fetching/fetcher.ts'
