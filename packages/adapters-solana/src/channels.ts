export {
  type Distribution,
  distributeInstruction,
  type Opening,
  openInstruction,
  reclaimInstruction,
  requestCloseInstruction,
  sealInstruction,
  settleAndSealInstruction,
  settleInstruction,
  topUpInstruction,
  withdrawPayerInstruction,
} from './payment-channels/instructions.ts'
export {
  type ChannelSeeds,
  channelAddress,
  channelsProgram,
  distributionHash,
  eventAuthority,
  readChannelAccount,
  type Share,
  type StoredChannel,
} from './payment-channels/program.ts'
export { type ProgramChannelServerOptions, programChannelServer } from './payment-channels/server.ts'
export {
  type ChannelNow,
  type ChannelRefusal,
  leavingOf,
  type ReceiverTerms,
  refuseChannel,
  type Settling,
  settlementOf,
  sharesOf,
} from './payment-channels/settlement.ts'
export {
  decodeVoucher,
  encodeVoucher,
  isProgramVoucher,
  type ProgramVoucher,
  type SignedProgramVoucher,
  voucherCheckInstruction,
} from './payment-channels/voucher.ts'
export { type Ring, type RingVoucher, reachOf, settleable, withRingVoucher } from './vouchers/ring.ts'
