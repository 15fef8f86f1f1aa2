import * as z from 'zod/mini'
import type { Simulation } from '../ledger/bank.ts'
import { type Commitment, commitmentSchema } from '../ledger/slots.ts'
import { keysOf, type ReadTransaction, readTransaction } from '../ledger/transaction.ts'
import { refuse, refuseTransaction } from '../refusal.ts'
import { writeAccount } from './account-methods.ts'
import { type Chain, commitmentOf, inContext, type Method, method } from './method.ts'
import { type AccountConfig, addressSchema, configSchema, countSchema, readBytes, wireEncodingSchema } from './parameters.ts'
import { returnData, writeInner } from './written-transaction.ts'

const sendConfigSchema = configSchema({
  encoding: wireEncodingSchema,
  skipPreflight: z.nullish(z.boolean()),
  preflightCommitment: z.nullish(commitmentSchema),
  maxRetries: z.nullish(countSchema),
})
const accountsSchema = z.looseObject({
  addresses: z.array(addressSchema),
  encoding: z.nullish(z.enum(['base64', 'base64+zstd', 'jsonParsed'])),
})
const simulateConfigSchema = configSchema({
  encoding: wireEncodingSchema,
  sigVerify: z.nullish(z.boolean()),
  replaceRecentBlockhash: z.nullish(z.boolean()),
  innerInstructions: z.nullish(z.boolean()),
  accounts: z.nullish(accountsSchema),
})

/** The methods that run transactions. */
export const transactionMethods: Readonly<Record<string, Method>> = {
  sendTransaction: method(z.tuple([z.string(), sendConfigSchema]), (chain, [text, config]) => {
    const read = readTransaction(readBytes(text, config?.encoding))
    if (config?.skipPreflight !== true) {
      preflight(chain, read, commitmentOf(chain, { ...config, commitment: config?.preflightCommitment }))
    }
    // Without a preflight nobody is told that the network drops it, as on a live chain.
    chain.bank.submit(read)
    return read.signatures[0]
  }),
  simulateTransaction: method(z.tuple([z.string(), simulateConfigSchema]), (chain, [text, config]) => {
    const commitment = commitmentOf(chain, config)
    const read = readTransaction(readBytes(text, config?.encoding))
    const signatures = config?.sigVerify === true
    const replace = config?.replaceRecentBlockhash === true
    if (replace && signatures) throw refuse('invalidParameters', 'sigVerify may not be used with replaceRecentBlockhash')
    const simulation = chain.bank.simulate(read, { commitment, signatures, blockhash: !replace })
    const keys = keysOf(read.message, (address) => chain.bank.account(address, 'processed'))
    return inContext(chain, commitment, {
      ...writeSimulation(simulation),
      accounts: config?.accounts ? writeAccounts(chain, simulation, config.accounts) : null,
      innerInstructions: config?.innerInstructions === true ? writeInner({ keys, trace: simulation.trace }, 'jsonParsed') : null,
      replacementBlockhash: replace ? chain.slots.lifetime(commitment) : null,
    })
  }),
}

/** What a node checks before it passes a transaction on. Errors: `testing/solana-refused` with -32002 or -32003. */
function preflight({ bank }: Chain, read: ReadTransaction, commitment: Commitment): void {
  const simulation = bank.simulate(read, { commitment, signatures: true, blockhash: true })
  if (simulation.failure !== null) throw refuseTransaction(simulation.failure, writeSimulation(simulation))
}

function writeSimulation({ failure, trace }: Simulation) {
  return {
    err: failure,
    logs: trace.logs,
    accounts: null,
    unitsConsumed: trace.units,
    returnData: returnData(trace),
    innerInstructions: null,
    replacementBlockhash: null,
  }
}

/** Accounts as the simulated transaction leaves them; null for all where it failed. */
function writeAccounts(chain: Chain, { failure, accounts }: Simulation, { addresses, encoding }: z.infer<typeof accountsSchema>): unknown {
  const config: AccountConfig = { encoding: encoding ?? 'base64' }
  return addresses.map((address) => {
    const account = accounts.find((one) => one.address === address) ?? chain.bank.account(address, 'processed')
    return failure === null ? writeAccount(account, { chain, commitment: 'processed', config }) : null
  })
}
