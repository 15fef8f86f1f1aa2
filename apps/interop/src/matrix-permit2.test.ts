import { verifies } from '@flow402x/testing/requirements'
import { describe } from 'vitest'
import { type Permit2Plan, startPermit2World } from './chains/permit2.ts'
import { official, ours } from './clients.ts'
import { cross, testMatrix } from './matrix.ts'
import { officialServers, ourServers } from './servers.ts'

const plans: readonly Permit2Plan[] = (['exact', 'upto'] as const).flatMap((scheme) =>
  (['approved before', 'by EIP-2612', 'by a signed approval'] as const).map((approval) => ({ scheme, approval })),
)
const [ourExpress] = ourServers
const [officialExpress] = officialServers
const flows = ['authorization'] as const

verifies(['PERMIT2-EVM', 'UPTO-EVM', 'GAS-SPONSORING'])

describe.each(plans)('$scheme through Permit2, $approval', ({ scheme, approval }) => {
  const one = (server: typeof ourExpress) => (server === undefined ? [] : [server])
  const cells = [
    ...cross({ clients: [official], servers: one(ourExpress), facilitators: ['ours, in process', '@x402/core, HTTP'], flows }),
    ...cross({ clients: [ours], servers: one(officialExpress), facilitators: ['ours, HTTP', '@x402/core, HTTP'], flows }),
    ...cross({ clients: [ours], servers: one(ourExpress), facilitators: ['ours, HTTP', '@x402/core, HTTP'], flows }),
    ...cross({ clients: [official], servers: one(officialExpress), facilitators: ['ours, HTTP'], flows }),
  ]
  const what = scheme === 'upto' ? 'upto, of which a part is used' : scheme
  const title = `x402 interop through Permit2: ${what}, ${approval}`
  testMatrix({
    table: `3-permit2-${scheme}-${approval.replaceAll(' ', '-')}`,
    title,
    start: () => startPermit2World({ scheme, approval }),
    cells,
  })
})
