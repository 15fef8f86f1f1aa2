export { bytes, gated, parts, streamed, ticks } from './bindings/express.ts'
