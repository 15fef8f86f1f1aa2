export type { EvmSellerOptions } from './checks/seller.ts'
export { type ExactEvmServerOptions, exactEvmServer } from './exact/server.ts'
export { type UptoEvmServerOptions, uptoEvmServer } from './upto/server.ts'
