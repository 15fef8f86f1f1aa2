export {
  type BatchSettlementClientOptions,
  batchSettlementClient,
} from './batch-settlement/payer/client.ts'
export {
  type ChannelMove,
  type PayerChannel,
  type PayerChannels,
  type PayerChannelsOptions,
  payerChannels,
} from './batch-settlement/payer/exit.ts'
export type { PayerChannelEvent } from './batch-settlement/payer/payment.ts'
export { type EvmReader, type EvmReaderOptions, evmReader } from './chain/reader.ts'
export type { EvmPayerOptions, SignOptions, TransferMethod } from './checks/payer.ts'
export type { Hex } from './crypto/bytes.ts'
export type { Authorization, Cancellation, Permit2Transfer, TokenPermit, TypedData } from './crypto/eip712.ts'
export type { Secp256k1 } from './crypto/secp256k1.ts'
export { type EvmSigner, type PrivateKeySigner, privateKeySigner } from './crypto/signer.ts'
export { type CancellableEvmClientOptions, cancellableExactEvmClient } from './exact/cancel.ts'
export { type ExactEvmClientOptions, exactEvmClient } from './exact/client.ts'
export { type Permit2PayerOptions, permit2 } from './permit2/client.ts'
export { type EvmBalancesOptions, evmBalances } from './transfer/balances.ts'
export { type TransferProofEvmClientOptions, transferProofEvmClient } from './transfer-proof/client.ts'
export { type UptoEvmClientOptions, uptoEvmClient } from './upto/client.ts'
