export { paid } from './bindings/express.ts'
