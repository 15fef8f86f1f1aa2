export { type ExactSolanaServerOptions, exactSolanaServer } from './exact/server.ts'
