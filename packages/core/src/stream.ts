export { createMacs, type Macs, type Secret } from './calls/mac.ts'
export { greater, lesser } from './channel/channel.ts'
export type { LaneCheckpoint, LaneInbox, LaneLease, LaneProgress, LaneRow, LaneRowState, LaneStore, LaneTerms } from './store/lanes.ts'
export type { ViewGrant, ViewKey, ViewPurchase, ViewStore } from './store/views.ts'
export {
  bytesPerUnit,
  costOf,
  oneUnit,
  readAtomicRate,
  readUnits,
  sameRate,
  type Units,
  unitsFor,
  unitsText,
  writeAtomicRate,
  writeUnits,
} from './stream/cost.ts'
export { streamErrors } from './stream/errors.ts'
export {
  bytesOfSid,
  type ClientFrame,
  closeCodes,
  type DataFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeClientFrame,
  encodeServerFrame,
  type FrameError,
  type GateReason,
  type ServerFrame,
  sidOfBytes,
  streamSubprotocol,
  type TickFrame,
} from './stream/frames.ts'
export {
  type Clock,
  laneHeader,
  networkHeader,
  ownPath,
  paymentAddressHeader,
  paymentPassHeader,
  paymentRateHeader,
  paymentRemainingHeader,
  paymentResumeHeader,
  paymentStreamHeader,
  paymentTokenHeader,
  type Resume,
  type Sealed,
  type StreamParams,
  sidText,
} from './stream/headers.ts'
export {
  adoptLane,
  buyWindow,
  creditOf,
  endLane,
  grantedIn,
  growLane,
  type LaneResult,
  type LaneStep,
  type LaneWithheld,
  laneOf,
  raiseVoucher,
} from './stream/lane.ts'
export {
  type ControlEvent,
  controlEventName,
  controlMember,
  type LaneMessage,
  readClosedAnswer,
  readControlEvent,
  readControlLine,
  readLaneMessage,
  readStaleAnswer,
  readTickAnswer,
  type StreamVoucher,
  streamVoucher,
  type TickAnswer,
  writeMessage,
} from './stream/messages.ts'
export {
  declareStream,
  isSliding,
  type OfferContext,
  readStreamOffer,
  readStreamTerms,
  type StreamEntry,
  type StreamOffer,
  type StreamTerms,
  streamKey,
} from './stream/offer.ts'
export type { PageAnswer, PageVisit, StreamPage } from './stream/page.ts'
export type {
  Bought,
  BuyOptions,
  ChannelFigures,
  Grade,
  LaneRefusal,
  LaneStanding,
  Rail,
  RailChannel,
  RailLane,
  RailPayment,
  TickVoucher,
} from './stream/rail.ts'
export { leaveLane, type Slid, type Slide, slideVoucher } from './stream/slide.ts'
export type {
  FinalBounds,
  LaneAccount,
  LaneClosed,
  LanePayer,
  OpenedStream,
  OpeningPlan,
  StreamWallet,
  WalletLane,
} from './stream/wallet.ts'
