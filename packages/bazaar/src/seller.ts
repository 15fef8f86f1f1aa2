export { createListings, type Listings, type ListingsOptions, type WellKnownFile } from './describing/listings.ts'
export {
  type CommonFacts,
  type HttpResourceOptions,
  httpResource,
  type JsonSchema,
  type McpResourceOptions,
  mcpResource,
  type Resource,
  type Schema,
  type StreamFacts,
} from './describing/resource.ts'
