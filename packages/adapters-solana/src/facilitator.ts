export type { StoredAccount } from './chain/reader.ts'
export {
  type Simulated,
  type SimulateOptions,
  type SolanaChain,
  type SolanaChainOptions,
  solanaChain,
} from './chain/solana-chain.ts'
export type { Ed25519 } from './crypto/ed25519.ts'
export { type SecretKey, type SolanaSender, secretKeySender } from './crypto/signer.ts'
export { type ExactSolanaFacilitatorOptions, exactSolanaFacilitator } from './exact/facilitator.ts'
export {
  type OpenedTokenAccount,
  type OpeningCost,
  type OpenTokenAccountOptions,
  openTokenAccount,
  type TokenAccountSponsor,
  type TokenAccountSponsorOptions,
  tokenAccountSponsor,
} from './exact/opening.ts'
export { smartWalletPrograms } from './exact/smart-wallet.ts'
export { type NonceVoucherFacilitatorOptions, nonceVoucherFacilitator } from './nonce-voucher/facilitator.ts'
export { type TransferProofSolanaFacilitatorOptions, transferProofSolanaFacilitator } from './transfer-proof/facilitator.ts'
