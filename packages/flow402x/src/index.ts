export type { Terminal } from './cli/command.ts'
export { runCommand } from './cli/run.ts'
export { type Dev, type DevOptions, startDev } from './dev/dev.ts'
export type { DevAccount, DevChain, DevRoute, DevWorld } from './dev/world.ts'
export { verifyX402Payment, type X402Defaults, type X402Payment, x402 } from './sdk/hono.ts'
export type { CacheOptions } from './sdk/responses.ts'
export type { RetryOptions } from './sdk/retrying.ts'
export {
  type BatchRequest,
  type BatchResult,
  createX402SDK,
  type EventOf,
  type RateService,
  type SDKEvent,
  type SpendingControls,
  type X402SDK,
  type X402SDKOptions,
} from './sdk/sdk.ts'
export type { DiscoverServices, Registered, RegisterService, Service } from './sdk/services.ts'
export type { DirectPayment, DirectReceipt, DirectStream } from './stream/direct.ts'
export { FlowClient, type FlowClientOptions, type FlowWallet } from './stream/flow-client.ts'
export { type FlowOptions, flowMiddleware } from './stream/flow-middleware.ts'
export type { SellerOptions } from './stream/seller.ts'
export type { FlowPrice } from './stream/words.ts'
