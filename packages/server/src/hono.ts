export { type PaidVariables, paid } from './bindings/hono.ts'
