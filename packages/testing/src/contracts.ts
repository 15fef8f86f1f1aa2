export {
  batchSettlement,
  dai,
  delegatedAccount,
  eip3009Collector,
  exactPermit2Proxy,
  hostileAccount,
  permit2Collector,
  smartWallet,
  uptoPermit2Proxy,
  usdt,
  walletFactory,
} from './contracts/artifacts.ts'
export { type ChannelPayer, channelPayer } from './contracts/channel-payer.ts'
export { type EscrowFacilitator, escrowFacilitator } from './contracts/escrow-facilitator.ts'
export { contracts } from './contracts/placement.ts'
export type { ChannelConfig } from './contracts/signing.ts'
export { batchSignature } from './contracts/signing.ts'
export { type ChannelKeys, type ChannelWire, type ClaimRow, channelWire, type DepositTerms } from './contracts/wire.ts'
