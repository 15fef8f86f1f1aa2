export { bytes, gated, streamed, ticks } from './bindings/express.ts'
