export { type ExactSolanaServerOptions, exactSolanaServer } from './exact/server.ts'
export type { SolanaConfirmations } from './transfer-proof/see.ts'
export { type TransferProofSolanaServerOptions, transferProofSolanaServer } from './transfer-proof/server.ts'
