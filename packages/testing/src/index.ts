export { type DevelopmentAccount, developmentAccounts, isDevelopmentKey, type Role } from './chains/accounts.ts'
export { type EvmChain, type EvmChainOptions, startEvmChain } from './chains/evm-chain.ts'
export type { Rpc } from './chains/json-rpc.ts'
export { multicall3Address } from './chains/multicall3.ts'
