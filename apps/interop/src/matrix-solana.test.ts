import { startSolanaWorld } from './chains/solana.ts'
import { legacy, official, ours } from './clients.ts'
import { cross, testMatrix } from './matrix.ts'
import { legacyServer, officialServers, ourServers } from './servers.ts'

const [ourExpress, ourHono] = ourServers.map((server) => [server])
const [officialExpress] = officialServers.map((server) => [server])
const overHttp = ['ours, HTTP', '@x402/core, HTTP'] as const
const [httpOnly, inProcess, theirs] = [['ours, HTTP'], ['ours, in process'], ['@x402/core, HTTP']] as const
const flows = ['authorization', 'upfront'] as const
const [authorization, upfront] = flows.map((flow) => [flow])

// A binding knows no chain: all are met by one client, and each other pairing by one binding.
const cells = [
  ...cross({ clients: [official], servers: ourServers, facilitators: httpOnly, flows: authorization }),
  ...cross({ clients: [legacy, ours], servers: ourExpress, facilitators: httpOnly, flows: authorization }),
  ...cross({ clients: [official, legacy, ours], servers: ourHono, facilitators: httpOnly, flows: upfront }),
  ...cross({ clients: [official, ours], servers: ourExpress, facilitators: inProcess, flows }),
  ...cross({ clients: [official, legacy, ours], servers: ourExpress, facilitators: theirs, flows: authorization }),
  ...cross({ clients: [official, ours], servers: ourHono, facilitators: theirs, flows: upfront }),
  ...cross({ clients: [ours], servers: officialServers, facilitators: overHttp, flows: authorization }),
  ...cross({ clients: [ours], servers: officialExpress, facilitators: overHttp, flows: upfront }),
  ...cross({ clients: [official], servers: officialExpress, facilitators: httpOnly, flows }),
  ...cross({ clients: [ours], servers: [legacyServer], facilitators: overHttp, flows: authorization }),
  ...cross({ clients: [legacy, official], servers: [legacyServer], facilitators: httpOnly, flows: authorization }),
]

testMatrix({ table: '4-matrix-solana', title: 'x402 interop on Solana: who pays whom through whom', start: startSolanaWorld, cells })
