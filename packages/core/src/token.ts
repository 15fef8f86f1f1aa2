export {
  type CreatePaymentOptions,
  defineTokenAdapter,
  type ExpectedPayment,
  type PaymentEstimate,
  type TokenAdapter,
  type TokenAmount,
  type TokenDefinition,
} from './token/adapter.ts'
export { tokenErrors } from './token/errors.ts'
export type { Transfer, TransferRail } from './token/transfers.ts'
export { type Owed, type Standing, type TokenChain, type WalletOptions, walletTokenAdapter } from './token/wallet.ts'
