export { type EvmStatementSignerOptions, evmStatementSigner, evmStatementVerifier } from './receipt/statement.ts'
