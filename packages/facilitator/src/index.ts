export type { FacilitatorEvent } from './engine/events.ts'
export { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from './engine/facilitator.ts'
export { type Authorize, type EndpointOptions, facilitatorEndpoint } from './http/routes.ts'
