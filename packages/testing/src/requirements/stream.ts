import type { Requirement } from './requirement.ts'

/** What must hold of streams, by id: `T` and `F` are the tests and failures of streaming.md §15 and §10. */
export const streamRequirements = {} as const satisfies Readonly<Record<string, Requirement>>
