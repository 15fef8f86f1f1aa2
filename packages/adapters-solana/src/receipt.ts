export { type SolanaStatementSignerOptions, solanaStatementSigner, solanaStatementVerifier } from './receipt/statement.ts'
