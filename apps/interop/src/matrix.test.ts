import { startEvmWorld } from './chains/evm.ts'
import { legacy, mppx, official, ours } from './clients.ts'
import { cross, testMatrix } from './matrix.ts'
import { legacyServer, mppxServers, officialServers, ourServers } from './servers.ts'

const everyFacilitator = ['ours, in process', 'ours, HTTP', '@x402/core, HTTP'] as const
const overHttp = ['ours, HTTP', '@x402/core, HTTP'] as const
const flows = ['authorization', 'upfront'] as const

const cells = [
  ...cross({ clients: [official, legacy, ours], servers: ourServers, facilitators: everyFacilitator, flows }),
  ...cross({ clients: [ours], servers: officialServers, facilitators: overHttp, flows }),
  ...cross({ clients: [mppx], servers: ourServers, facilitators: overHttp, flows }),
  ...cross({ clients: [ours], servers: mppxServers, facilitators: overHttp, flows: ['upfront'] }),
  ...cross({ clients: [official], servers: officialServers, facilitators: ['ours, HTTP'], flows }),
  ...cross({ clients: [ours], servers: [legacyServer], facilitators: overHttp, flows: ['authorization'] }),
  ...cross({ clients: [legacy, official], servers: [legacyServer], facilitators: ['ours, HTTP'], flows: ['authorization'] }),
]

testMatrix({ table: '2-matrix', title: 'x402 interop: who pays whom through whom', start: startEvmWorld, cells })
