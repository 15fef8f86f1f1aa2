import { type Asset, assetOf, assets, formatAmount, formatNetwork, networkFacts, networks, parseNetwork } from '@flow402x/core'
import { type Command, printJson, readArguments, type Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { readRpcUrl, rpcVariable } from '../cli/rpc-url.ts'
import { adapterFor, familyOf, findAccount } from './account.ts'

const usage = 'flow402x wallet balance [--network NAME] [--asset SYMBOL] [--address ADDRESS] [--key-file FILE] [--json]'

/** `flow402x wallet balance`: what a wallet holds. */
export const balance: Command = {
  summary: 'Prints what your wallet holds, or any other.',
  usage: `${usage}

  --network NAME      a network, as often as needed; every one whose RPC the environment names unless given
  --asset SYMBOL      a token or coin, as often as needed; all that are known there unless given
  --address ADDRESS   any wallet; that of your key unless given
  --key-file FILE     a key file
  --json              prints one line of JSON, amounts in atomic units beside those that people read`,
  async run(args, terminal) {
    const { network = [], asset, address, json, 'key-file': file } = readArguments(args, { options, usage }).values
    const asked = network.length > 0 ? network.map(parseNetwork) : networks.map((one) => one.network).filter(isReachable(terminal))
    if (asked.length === 0)
      throw cliErrors('cli/usage', { why: `No network: give --network, or set ${rpcVariable('eip155:8453')} or another.`, usage })
    const holdings: Holding[] = []
    for (const one of asked) {
      const holder = address ?? (await findAccount(terminal, familyOf(one), file))?.address
      if (holder !== undefined) holdings.push(...(await holdingsOf(holder, { network: one, symbols: asset, terminal })))
    }
    if (holdings.length === 0) throw cliErrors('cli/usage', { why: 'Whose balance? Set a key, or give --address.', usage })
    if (json) printJson(terminal, { balances: holdings })
    else for (const each of holdings) if (each.units > 0n || asset !== undefined || isUsual(each)) terminal.out(lineOf(each))
    return 0
  },
}

const many = { type: 'string', multiple: true } as const
const options = {
  network: many,
  asset: many,
  address: { type: 'string' },
  'key-file': { type: 'string' },
  json: { type: 'boolean' },
} as const

type Holding = {
  readonly network: string
  readonly address: string
  readonly symbol: string
  readonly amount: string
  readonly units: bigint
}

type Wanted = { readonly network: string; readonly symbols: readonly string[] | undefined; readonly terminal: Terminal }

async function holdingsOf(address: string, { network, symbols, terminal }: Wanted): Promise<readonly Holding[]> {
  const rpcUrl = readRpcUrl(terminal.env, network)
  const known = symbols?.map((symbol) => assetOf(network, symbol)) ?? coinFirst(assets.filter((asset) => asset.network === network))
  return await Promise.all(
    known.map(async (asset): Promise<Holding> => {
      const units = await adapterFor({ network, rpcUrl, asset: asset.address }).getBalance(address, { signal: terminal.signal })
      return { network, address, symbol: asset.symbol, amount: formatAmount(units, asset), units }
    }),
  )
}

function coinFirst(known: readonly Asset[]): readonly Asset[] {
  const isCoin = ({ transfer }: Asset): boolean => transfer === 'native'
  return [...known.filter(isCoin), ...known.filter((asset) => !isCoin(asset))]
}

function isReachable({ env }: Terminal) {
  return (network: string): boolean => (env[rpcVariable(network)] ?? '') !== ''
}

/** What is shown even where there is none of it: the coin that pays fees, and what a `$` means. */
function isUsual({ network, symbol }: Holding): boolean {
  return symbol === networkFacts(network)?.coin.symbol || symbol === assetOf(network).symbol
}

function lineOf({ network, address, amount }: Holding): string {
  return `${amount} on ${formatNetwork(network)} at ${address}\n`
}
