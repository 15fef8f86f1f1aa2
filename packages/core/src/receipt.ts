export { checkReceipt, findReceipt, type ReceiptExpectation, type ReceiptStanding, signedTerms } from './receipt/check.ts'
export { type OfferReceiptOptions, offerReceipt } from './receipt/extension.ts'
export { compactJws, type Jws, jwsInput, readJws } from './receipt/jws.ts'
export {
  type OfferPayload,
  offerReceiptKey,
  type Proof,
  type ReceiptPayload,
  readReceipt,
  type SignedOffer,
  type SignedReceipt,
  type Statement,
  type StatementSigner,
  type StatementVerifier,
  signedReceipt,
} from './receipt/statement.ts'
