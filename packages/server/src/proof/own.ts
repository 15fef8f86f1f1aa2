import type { ServerScheme } from '@flow402x/core'
import type { Served } from '../engine/server.ts'

/** Whether a scheme sees by itself what pays it: its payers move the money, and the chain shows it. */
export function isByChain({ verify, look }: ServerScheme): boolean {
  return verify !== undefined && look !== undefined
}

/** How a scheme is served that the chain itself answers for; nothing where a facilitator must. */
export function chainFacilitator(scheme: ServerScheme): Served | undefined {
  const { scheme: name, network, verify, look } = scheme
  if (verify === undefined || look === undefined) return undefined
  const kind = { x402Version: 2, scheme: name, network }
  const facilitator: Served['facilitator'] = {
    supported: async () => ({ kinds: [kind] }),
    verify: (submission, options) => verify(submission, options),
    settle: (submission, options) => look(submission, options),
  }
  return { scheme, facilitator, kind, extensions: scheme.extensions ?? [], tells: false, byChain: true, limit: undefined }
}
