export {
  createReferences,
  expiryOf,
  type ReferenceOptions,
  type References,
  type ReferenceTerms,
  referenceTag,
} from './reference/reference.ts'
export { type TransferSeller, type TransferSellerOptions, transferSeller } from './reference/seller.ts'
export {
  keyOfTransfer,
  readTransfer,
  referenceIn,
  type SeenTransfer,
  type TransferChain,
  type TransferSight,
  type TransferSightOptions,
  transferFailed,
  transferKey,
  transferProof,
  transferSight,
  unconfirmed,
} from './reference/transfer.ts'
export { type TransferWitness, transferWitness } from './reference/witness.ts'
