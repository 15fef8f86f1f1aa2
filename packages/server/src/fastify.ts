export { paid } from './bindings/fastify.ts'
