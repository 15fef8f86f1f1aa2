export { createMacs, type Macs, type Secret } from './calls/mac.ts'
