export type { ReceiverAuthorizer } from './batch-settlement/facilitator/authority.ts'
export { type BatchSettlementFacilitatorOptions, batchSettlementFacilitator } from './batch-settlement/facilitator/facilitator.ts'
export type { GasBudget } from './batch-settlement/facilitator/gas-budget.ts'
export type { CallResult, Target } from './chain/abi.ts'
export {
  type EvmChain,
  type EvmChainOptions,
  type EvmSender,
  evmChain,
  type SenderTransaction,
} from './chain/evm-chain.ts'
export type { FeeOptions } from './chain/fees.ts'
export type { Confirmations } from './chain/finality.ts'
export type { EvmReader, ReadOptions } from './chain/reader.ts'
export { fastestSecp256k1 } from './crypto/native-secp256k1.ts'
export type { Secp256k1 } from './crypto/secp256k1.ts'
export { tabledSecp256k1 } from './crypto/tabled-secp256k1.ts'
export { type ExactEvmFacilitatorOptions, exactEvmFacilitator } from './exact/facilitator.ts'
export { type TransferProofEvmFacilitatorOptions, transferProofEvmFacilitator } from './transfer-proof/facilitator.ts'
export { type UptoEvmFacilitatorOptions, uptoEvmFacilitator } from './upto/facilitator.ts'
