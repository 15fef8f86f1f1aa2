export type {
  Candidate,
  CatalogueEntry,
  CatalogueQuery,
  CatalogueStore,
  KeptRating,
  ListingClaims,
  NewEntry,
  Standing,
  WitnessedPayment,
} from './bazaar/catalogue.ts'
export { announcing, type DiscoveryFeed, type ListingNotice, type SettledPayment } from './bazaar/feed.ts'
export {
  type BazaarDeclaration,
  bazaarDeclaration,
  bazaarKey,
  type Judgement,
  judgeListing,
  listingKey,
  plainText,
} from './bazaar/judge.ts'
export {
  category,
  type DiscoveryItem,
  discoveryItem,
  type ListedFacts,
  type Listing,
  type ListingHealth,
  type ListingOwner,
  type ListingPrice,
  type ListingRatings,
  type ListingReason,
  type ListingState,
  type ListingStream,
  type ListingType,
  listing,
  listingReasons,
  readListing,
} from './bazaar/listing.ts'
export {
  type PaymentWitness,
  type RatingRequest,
  type RatingResponse,
  type RatingStatement,
  ratingText,
  type WitnessedTransfer,
} from './bazaar/rating.ts'
export {
  bazaarRoutes,
  type DiscoveryFound,
  type DiscoveryList,
  type DiscoveryListQuery,
  type DiscoverySearchQuery,
  type ListingQuery,
  type ListingStatus,
  type PublishedRating,
  type PublishedRatings,
  type RegisterRequest,
} from './bazaar/routes.ts'
export { fact, listingTerms, wordsAsked } from './bazaar/terms.ts'
export { ownerRecord, type WellKnown, wellKnown, wellKnownPath } from './bazaar/well-known.ts'
