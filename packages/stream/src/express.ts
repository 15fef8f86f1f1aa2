export { streamed, ticks } from './bindings/express.ts'
