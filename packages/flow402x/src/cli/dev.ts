import { once } from 'node:events'
import { formatNetwork, networkFamily } from '@flow402x/core'
import { startDev } from '../dev/dev.ts'
import { streamRoutes } from '../dev/sample-streams.ts'
import type { DevChain, DevWorld } from '../dev/world.ts'
import { walletFileVariable } from '../wallet/home.ts'
import { type Command, readArguments } from './command.ts'
import { cliErrors } from './errors.ts'
import { keyVariables } from './key.ts'
import { rpcVariable } from './rpc-url.ts'

const usage = 'flow402x dev [--network base-sepolia[,…]] [--facilitator-port N] [--seller-port N] [--bazaar-port N] [--json]'

/** `flow402x dev`: a local world that runs until it is interrupted. */
export const dev: Command = {
  summary: 'Starts local chains with USDC, EVM and Solana, a facilitator, a paid sample seller and a bazaar that lists it.',
  usage: `${usage}

  --network NAMES          networks to imitate, by name or CAIP-2 id; base-sepolia,solana-devnet unless given
  --facilitator-port N     a free port unless given
  --seller-port N          a free port unless given
  --bazaar-port N          a free port unless given
  --json                   prints one line of JSON with every address and URL, and nothing else, on standard output

It runs until it is interrupted. All keys are published development keys: never send them money.`,
  async run(args, terminal) {
    const values = readOptions(args)
    const { note, signal } = terminal
    const started = performance.now()
    const local = await startDev({ ...values, signal, onProgress: (step) => note(`✓ ${step}`) })
    try {
      if (values.json) terminal.out(`${JSON.stringify(local.world)}\n`)
      else {
        note(`ready in ${((performance.now() - started) / 1000).toFixed(1)} s`)
        terminal.out(describe(local.world))
      }
      if (!signal.aborted) await once(signal, 'abort')
      note('stopping')
    } finally {
      await local.close()
    }
    return 0
  },
}

function readOptions(args: readonly string[]) {
  const { network, json, ...ports } = readArguments(args, { options, usage }).values
  return {
    json: json ?? false,
    ...(network === undefined ? {} : { networks: network.split(',') }),
    ...port('facilitatorPort', ports['facilitator-port']),
    ...port('sellerPort', ports['seller-port']),
    ...port('bazaarPort', ports['bazaar-port']),
  }
}

const option = { type: 'string' } as const
const options = {
  network: option,
  'facilitator-port': option,
  'seller-port': option,
  'bazaar-port': option,
  json: { type: 'boolean' },
} as const

function port<Name extends string>(name: Name, text: string | undefined): { readonly [key in Name]?: number } {
  if (text === undefined) return {}
  const value = Number.parseInt(text, 10)
  if (!/^\d+$/.test(text) || value > 65_535) throw cliErrors('cli/usage', { why: `"${text}" is no port`, usage })
  // One property of the asked name, which the computed key cannot tell the compiler.
  return { [name]: value } as { readonly [key in Name]: number }
}

function describe({ evm, solana, facilitator, seller, bazaar }: DevWorld): string {
  const all = solana === undefined ? evm : [...evm, solana]
  const chains = all.map(({ network, rpcUrl, usdc }) => `  ${formatNetwork(network)} (${network})  ${rpcUrl}  USDC ${usdc}`)
  const routes = seller.routes.map(
    ({ method, path, price, scheme, network }) =>
      `  ${method.padEnd(4)} ${seller.url}${path}  ${scheme === 'upto' ? `up to ${price}` : price} on ${formatNetwork(network)}`,
  )
  const [first] = evm
  const payers = [first, solana].flatMap((chain) => (chain === undefined ? [] : [payer(chain)]))
  return `
Chains
${chains.join('\n')}
Facilitator
  ${facilitator.url}
Paid routes
${routes.join('\n')}
Bazaar
  ${bazaar.url}

Open in a browser, and pay as it flows with a wallet of test money:
${streamRoutes.map(({ path, price }) => `  ${seller.url}${path}  ${price}`).join('\n')}

Pay one of them from another terminal, with a key of either chain (each account holds 1,000 local USDC):
${payers.join('\n')}
  export ${walletFileVariable}=$(mktemp -d)/wallet.db   # the books of channels that end with this world
  flow402x pay '${seller.url}/weather?place=Lisbon'

Sell with this facilitator:
  export FLOW402X_FACILITATOR_URL=${facilitator.url}
  export FLOW402X_SECRET=$(openssl rand -hex 32) FLOW402X_STORE=./flow402x-books.db
${all.map(({ network, rpcUrl }) => `  export ${rpcVariable(network)}=${rpcUrl}`).join('\n')}

Press Ctrl-C to stop.
`
}

function payer({ network, accounts }: DevChain): string {
  const buyer = accounts.find(({ role }) => role === 'buyer')
  const variable = networkFamily(network) === 'solana' ? keyVariables.solana : keyVariables.eip155
  return `  export ${variable}=${buyer?.privateKey}   # ${buyer?.address} on ${formatNetwork(network)}`
}
