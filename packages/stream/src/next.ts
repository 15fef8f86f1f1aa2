export { bytes, gated, parts, streamed, ticks, viewed } from './bindings/fetch.ts'
