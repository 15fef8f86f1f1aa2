import type { Requirement } from './requirement.ts'

/** What must hold of the bazaar, by id. */
export const bazaarRequirements = {} as const satisfies Readonly<Record<string, Requirement>>
