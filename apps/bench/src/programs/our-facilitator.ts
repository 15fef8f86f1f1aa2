import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { announceUrl, argument } from './announce.ts'

const { rpcUrl, key } = argument
const chain = evmChain({ network: 'eip155:84532', rpcUrl, signers: [key] })
const facilitator = createFacilitator({ schemes: [exactEvmFacilitator({ chain })] })
await facilitator.start()
announceUrl((await serveFacilitator(facilitator)).url)
