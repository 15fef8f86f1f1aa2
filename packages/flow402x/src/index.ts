export type { Terminal } from './cli/command.ts'
export { runCommand } from './cli/run.ts'
export { type Dev, type DevOptions, startDev } from './dev/dev.ts'
export type { DevAccount, DevChain, DevRoute, DevWorld } from './dev/world.ts'
