import { batchSettlementFacilitator, evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactSolanaFacilitator, solanaChain } from '@flow402x/adapters-solana/facilitator'
import type { FacilitatorScheme } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import * as z from 'zod/mini'
import { openJournal, place } from '../world/places.ts'
import { runProgram } from './program.ts'

/** What a facilitator is made of. */
export const facilitatorPlan = z.object({
  port: z.number(),
  journal: place,
  network: z.string(),
  rpcUrl: z.string(),
  signers: z.array(z.string()),
  /** Set where prices are ceilings. */
  used: z.optional(z.string()),
  /** Whether it settles over channels. */
  channels: z.optional(z.boolean()),
  /** The file that says what it did. */
  log: z.string(),
})

runProgram(facilitatorPlan, async ({ port, journal, network, rpcUrl, signers, used, channels = false }, traps) => {
  const scheme = (): FacilitatorScheme => {
    if (network.startsWith('solana:'))
      return exactSolanaFacilitator({ chain: traps.lay('chain', solanaChain({ network, rpcUrl, signers })) })
    const chain = traps.lay('chain', evmChain({ network, rpcUrl, signers }))
    if (channels) return batchSettlementFacilitator({ chain })
    return used === undefined ? exactEvmFacilitator({ chain }) : uptoEvmFacilitator({ chain })
  }
  const store = await openJournal(journal)
  const facilitator = createFacilitator({
    schemes: [traps.lay('scheme', scheme())],
    store: { journal: traps.lay('journal', store.journal) },
    lease: 1500,
    confirmTimeout: 15_000,
    finality: 300,
  })
  await facilitator.start()
  const { url } = await serveFacilitator(traps.lay('facilitator', facilitator), { port })
  return url
})
