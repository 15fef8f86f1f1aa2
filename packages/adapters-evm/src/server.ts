export { type ExactEvmServerOptions, exactEvmServer } from './exact/server.ts'
