import { assetOf, formatNetwork, isLoopback, networkFacts, parseDecimal, parseNetwork, toAtomic } from '@flow402x/core'
import { type Command, printJson, readArguments, type Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { readRpcUrl } from '../cli/rpc-url.ts'
import { accountOf, adapterFor, type Family, familyOf, findAccount } from './account.ts'
import { requestAirdrop } from './airdrop.ts'

const usage = 'flow402x wallet fund --network NAME [--amount NUMBER] [--asset SYMBOL] [--to ADDRESS] [--key-file FILE] [--json]'

/** `flow402x wallet fund`: money without worth, where there is such. */
export const fund: Command = {
  summary: 'Fills a wallet on a local chain, or with SOL on a development network.',
  usage: `${usage}

  --network NAME    a network, by name or CAIP-2 id
  --amount NUMBER   how much; 10 of a token, 1 of a coin unless given
  --asset SYMBOL    a token or coin; the network's stablecoin unless given
  --to ADDRESS      any wallet; that of your key unless given
  --key-file FILE   a key file
  --json            prints one line of JSON

On a chain of this machine, such as flow402x dev starts, a published development account pays. On Solana's devnet and testnet it asks the
node for SOL. Everywhere else money is real, or comes from a web page, and nothing is done.`,
  async run(args, terminal) {
    const { values } = readArguments(args, { options, usage })
    if (values.network === undefined) throw cliErrors('cli/usage', { why: 'Give --network.', usage })
    const network = parseNetwork(values.network)
    const family = familyOf(network)
    const to = values.to ?? (await findAccount(terminal, family, values['key-file']))?.address
    if (to === undefined) throw cliErrors('cli/usage', { why: 'Whose wallet? Set a key, or give --to.', usage })
    const asset = assetOf(network, values.asset)
    const amount = values.amount ?? (asset.transfer === 'native' ? '1' : '10')
    const rpcUrl = readRpcUrl(terminal.env, network)
    const gift = { network, rpcUrl, to, amount, asset: asset.address }
    const isGiven = family === 'solana' && asset.transfer === 'native' && networkFacts(network)?.testnet === true
    const transaction = isGiven ? await airdrop(gift, terminal) : await payLocally(family, gift, terminal)
    if (values.json) printJson(terminal, { network, to, amount: `${amount} ${asset.symbol}`, transaction })
    else terminal.out(`funded ${to} with ${amount} ${asset.symbol} on ${formatNetwork(network)} in ${transaction}\n`)
    return 0
  },
}

const text = { type: 'string' } as const
const options = { network: text, amount: text, asset: text, to: text, 'key-file': text, json: { type: 'boolean' } } as const

type Gift = { readonly network: string; readonly rpcUrl: string; readonly to: string; readonly amount: string; readonly asset: string }

async function payLocally(family: Family, { to, amount, ...chain }: Gift, { signal }: Terminal): Promise<string> {
  if (!isLoopback(chain.rpcUrl)) {
    const why = 'its RPC is not on this machine, and nobody gives money away there. Test USDC comes from https://faucet.circle.com'
    throw cliErrors('cli/no-faucet', { network: formatNetwork(chain.network), why })
  }
  const { developmentAccounts, solanaDevelopmentAccounts } = await import('@flow402x/testing').catch((cause: unknown) => {
    throw cliErrors('cli/no-testing', { cause })
  })
  const published: readonly { readonly role: string; readonly privateKey: string }[] =
    family === 'solana' ? solanaDevelopmentAccounts : developmentAccounts
  // The last of those that hold tokens: the first is whom examples pay from.
  const rich = published.findLast(({ role }) => role === 'buyer')
  if (rich === undefined) throw cliErrors('cli/no-testing', {})
  const account = accountOf(family, rich.privateKey)
  return await adapterFor({ ...chain, account, openAccounts: true }).createPayment(to, amount, { signal })
}

async function airdrop({ rpcUrl, to, amount, asset, network }: Gift, { signal }: Terminal): Promise<string> {
  const decimal = parseDecimal(amount)
  const lamports = decimal === undefined ? 0n : toAtomic(decimal, assetOf(network, asset).decimals)
  if (lamports <= 0n) throw cliErrors('cli/usage', { why: `"${amount}" is no amount.`, usage })
  return await requestAirdrop({ rpcUrl, to, lamports, signal })
}
