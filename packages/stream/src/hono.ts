export { streamed, ticks } from './bindings/hono.ts'
