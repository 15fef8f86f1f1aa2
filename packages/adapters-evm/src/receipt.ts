export { type EvmStatementSignerOptions, evmStatementSigner, evmStatementVerifier } from './receipt/statement.ts'
export { type EvmTextAccount, type EvmTextSigner, evmTextSigner } from './receipt/text.ts'
