export type { PaidOptions } from './engine/offers.ts'
export type { Reconciled } from './engine/reconcile.ts'
export type { IncomingRequest } from './engine/request.ts'
export type { PaymentInfo } from './engine/run.ts'
export { createServer, type Server, type ServerEvent, type ServerOptions } from './engine/server.ts'
export {
  type FacilitatorAuth,
  type FacilitatorCall,
  type FacilitatorHeaders,
  type FacilitatorRoute,
  type HttpFacilitatorOptions,
  httpFacilitator,
} from './http/remote-facilitator.ts'
export type { PaidUndelivered, Sale } from './proof/books.ts'
export type { SoleClaimant } from './proof/grant.ts'
export type { UnpaidWork } from './proof/payer.ts'
export type { ServerTopic } from './proof/telling.ts'
