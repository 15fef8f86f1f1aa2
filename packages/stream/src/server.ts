export { createPasses, type Pass, type Passes, type PassKind } from './transports/pass.ts'
