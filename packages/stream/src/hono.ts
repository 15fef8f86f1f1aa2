export { bytes, parts, streamed, ticks } from './bindings/hono.ts'
