export { paid } from './bindings/fetch.ts'
