export { unlessAborted } from './calls/abort.ts'
export { type CoalesceOptions, coalesce } from './calls/coalesce.ts'
export { type HttpAnswer, type HttpCall, httpCall } from './calls/http-call.ts'
export { type HttpRpcOptions, httpRpc, parseRpcUrl, type Rpc, type RpcErrors, type RpcRequest } from './calls/json-rpc.ts'
export { pause } from './calls/pause.ts'
export { present } from './calls/present.ts'
export { sha256 } from './calls/sha256.ts'
export { type ChannelBook, channelBook } from './channel/book.ts'
export {
  beforeClaim,
  type Changed,
  type Channel,
  type ChannelFunds,
  type ChannelKey,
  type ChannelSide,
  type Filling,
  type FreeStretch,
  type Hold,
  type LaneCredit,
  learnFunds,
  nextBase,
  type Stretch,
  usableFunds,
  type Withheld,
} from './channel/channel.ts'
export { ledRunner } from './channel/led-runner.ts'
export {
  adoptPosition,
  endStretch,
  landFilling,
  learnPayerFunds,
  lockedFunds,
  type Signing,
  type SignStretchOptions,
  signStretch,
  unsignedFunds,
} from './channel/payer.ts'
export type {
  ChannelEvent,
  ChannelRunner,
  Charged,
  RunnerOptions,
  RunnerRound,
  TakenVoucher,
  TakeOptions,
  VoucherPayment,
  VoucherRefusal,
  Vouchers,
} from './channel/vouchers.ts'
export { extendStretch, finishStretch, type LostAnswer, leaveStretch, setAside, takeStretch } from './channel/work.ts'
export {
  type Asset,
  type AssetTransfer,
  assetId,
  assetOf,
  assets,
  coinOf,
  findAsset,
  fitsPrice,
  formatAmount,
  priceByRate,
  priceInAsset,
  sameAddress,
} from './protocol/asset.ts'
export {
  type ContextOf,
  coreErrors,
  defineErrors,
  type ErrorEntry,
  type ErrorFactory,
  isX402Error,
  type MoneyMoved,
  type Phase,
  type Problem,
  type Retry,
  toProblem,
  X402Error,
} from './protocol/errors.ts'
export {
  type Asked,
  type Extension,
  type ExtensionDeclaration,
  echoExtensions,
  echoesExtensions,
  paymentIdentifier,
  readPaymentId,
  type Sold,
  withoutPaymentId,
} from './protocol/extension.ts'
export {
  type CallOptions,
  type ClaimStatusRequest,
  type ClaimStatusResponse,
  claimIdHeader,
  claimStatusExtension,
  claimStatusRequest,
  claimStatusResponse,
  type Facilitator,
  type FacilitatorRequest,
  facilitatorRequest,
  facilitatorRoutes,
  type SettleOptions,
  type StatusOptions,
  type Submission,
} from './protocol/facilitator.ts'
export {
  firstIssue,
  type HeaderCodec,
  type HeaderCodecOptions,
  headerCodec,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
  readSettlementOverride,
  settlementOverridesHeader,
} from './protocol/headers.ts'
export { type Decimal, formatDecimal, formatPrice, fromAtomic, type Price, parseDecimal, parsePrice, toAtomic } from './protocol/money.ts'
export {
  formatNetwork,
  isLoopback,
  type Network,
  type NetworkFacts,
  networkFacts,
  networkFamily,
  networkSchema,
  networks,
  parseNetwork,
} from './protocol/network.ts'
export {
  acceptsOffer,
  askedUrl,
  type PaymentPayload,
  type PaymentRequired,
  type PaymentRequirements,
  paymentPayload,
  paymentRequired,
  paymentRequirements,
  type ResourceInfo,
  requestBinding,
  resourceInfo,
} from './protocol/payment.ts'
export { type AtomicRate, formatRate, parseRate, type Rate, toAtomicRate } from './protocol/rate.ts'
export type {
  BalanceReader,
  Call,
  ChainWriter,
  ClientScheme,
  Correction,
  FacilitatorScheme,
  Log,
  LookOptions,
  PaymentEnd,
  PaymentFlow,
  Prepared,
  PrepareOptions,
  RequirementsInput,
  ServerScheme,
  Sighting,
  SignedTransaction,
  TransactionStatus,
  TransferProof,
} from './protocol/scheme.ts'
export {
  type Outcome,
  outcomeFromWire,
  outcomeToWire,
  type SettleResponse,
  type SupportedKind,
  type SupportedResponse,
  settledByAnother,
  settleResponse,
  supportedKind,
  supportedResponse,
  type Verdict,
  type VerifyResponse,
  verdictFromWire,
  verdictToWire,
  verifyResponse,
} from './protocol/settlement.ts'
export type {
  Claim,
  ClaimAnswer,
  ClaimChange,
  ClaimRequest,
  ClaimState,
  ClaimStore,
  Funds,
  LogKey,
  LogStore,
  PaymentKey,
  StoredResponse,
  UndeliveredOptions,
} from './store/claims.ts'
export type { Begun, Draw, JournalStore, NewSettlement, Settlement, SignerLease, Slot, SlotKey } from './store/journal.ts'
export type { Message, NewMessage, OutboxStore, Telling } from './store/outbox.ts'
export type {
  BudgetLimit,
  BudgetStore,
  BudgetUse,
  LedgerEntry,
  LedgerStore,
  Payee,
  PayeeName,
  PayeeStore,
  Reservation,
  SignedPayment,
} from './store/payer.ts'
export type { ChannelStore, Store } from './store/store.ts'
