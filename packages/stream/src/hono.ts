export { bytes, streamed, ticks } from './bindings/hono.ts'
