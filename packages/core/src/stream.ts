export { createMacs, type Macs, type Secret } from './calls/mac.ts'
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
export type { LaneCheckpoint, LaneInbox, LaneProgress, LaneRow, LaneRowState, LaneStore, LaneTerms } from './stream/lane-store.ts'
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
