export { type PaidNodeHandler, paid } from './bindings/node.ts'
