export { type Bazaar, type BazaarEvent, type BazaarOptions, createBazaar } from './catalog/bazaar.ts'
export { type ServedBazaar, type ServeOptions, serveBazaar } from './http/serve.ts'
export { bazaarEndpoint, type EndpointOptions } from './http/web.ts'
export { createPages, type PagesOptions } from './pages/pages.ts'
