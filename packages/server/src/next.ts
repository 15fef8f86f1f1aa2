export { paid } from './bindings/next.ts'
