export { type EvmTokenAdapterOptions, evmTokenAdapter } from './transfer/token.ts'
