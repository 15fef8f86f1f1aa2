export { type SolanaStatementSignerOptions, solanaStatementSigner, solanaStatementVerifier } from './receipt/statement.ts'
export { type SolanaTextSigner, solanaTextSigner } from './receipt/text.ts'
