export { type SolanaTokenAdapterOptions, solanaTokenAdapter } from './transfer/token.ts'
