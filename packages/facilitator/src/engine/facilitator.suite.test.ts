import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { httpFacilitator } from '@flow402x/server'
import { startEvmChain } from '@flow402x/testing'
import { type FacilitatorMount, testFacilitator } from '@flow402x/testing/suites'
import { serveFacilitator } from '../node.ts'
import { createFacilitator } from './facilitator.ts'

const inProcess: FacilitatorMount = async ({ confirmTimeout }) => {
  const chain = await startEvmChain()
  const { network, rpcUrl } = chain
  const signers = [chain.facilitator.privateKey]
  const facilitator = createFacilitator({
    schemes: [exactEvmFacilitator({ chain: evmChain({ network, rpcUrl, signers }) })],
    confirmTimeout,
  })
  const close = async (): Promise<void> => {
    await facilitator.close()
    await chain.stop()
  }
  return { facilitator, chain, close }
}

const behindHttp: FacilitatorMount = async (setup) => {
  const { facilitator, chain, close } = await inProcess(setup)
  const served = await serveFacilitator(facilitator)
  const closeAll = async (): Promise<void> => {
    await served.close()
    await close()
  }
  return { facilitator: httpFacilitator(served.url), chain, close: closeAll }
}

testFacilitator({ name: 'A facilitator in process', mount: inProcess })
testFacilitator({ name: 'The same facilitator behind HTTP', mount: behindHttp })
