export type { AskOptions } from './asking/ask.ts'
export {
  type BazaarClient,
  type BoughtThing,
  type Cancellable,
  createBazaarClient,
  type ListQuery,
  type Rating,
  type SearchQuery,
  type TextSigner,
} from './asking/client.ts'
export { type FoundListing, leastPrice } from './asking/found.ts'
