import { type OpenedTokenAccount, openTokenAccount } from '@flow402x/adapters-solana/facilitator'
import { formatAmount, formatNetwork, networkFacts, networkFamily, parseNetwork } from '@flow402x/core'
import { type Command, printJson, readArguments, type Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { readRpcUrl } from '../cli/rpc-url.ts'
import { needAccount } from './account.ts'

const usage = 'flow402x wallet init-accounts --network solana-devnet --owner ADDRESS [--asset USDC] [--key-file FILE] [--json]'

/** `flow402x wallet init-accounts`: what a wallet needs before it can be paid on Solana. */
export const initAccounts: Command = {
  summary: 'Opens the token accounts that a wallet needs to be paid on Solana.',
  usage: `${usage}

  --network NAME    a network of Solana, by name or CAIP-2 id
  --owner ADDRESS   the wallet that shall be able to receive
  --asset SYMBOL    a token, as often as needed; USDC unless given
  --key-file FILE   the key that pays; what the environment names unless given
  --json            prints one line of JSON: every account, what it cost and the transaction that opened it

An account that is there is left alone and costs nothing. The others are paid by the key in FLOW402X_SOLANA_PRIVATE_KEY, or in the
file that FLOW402X_SOLANA_PRIVATE_KEY_FILE names: about 0.002 SOL each, which stay in the account, and the fee. The node is named by
FLOW402X_RPC_URL_SOLANA, FLOW402X_RPC_URL_SOLANA_DEVNET or FLOW402X_RPC_URL_SOLANA_TESTNET.`,
  async run(args, terminal) {
    const { network, owner, assets, json, keyFile } = readOptions(args)
    const rpcUrl = readRpcUrl(terminal.env, network)
    const { key: payer } = await needAccount(terminal, 'solana', keyFile)
    const accounts: OpenedTokenAccount[] = []
    for (const asset of assets) {
      const given = { network, rpcUrl, payer, owner, signal: terminal.signal, ...(asset === undefined ? {} : { asset }) }
      const opened = await openTokenAccount({
        ...given,
        onCost: ({ payer: from, rent, fee }) =>
          void terminal.note(
            `cost ${sol(network, rent)} of rent, which stays in the account, and ${sol(network, fee)} of fee, from ${from}`,
          ),
      })
      accounts.push(opened)
      if (!json) tell(opened, terminal)
    }
    if (json) printJson(terminal, { accounts })
    return 0
  },
}

const option = { type: 'string' } as const
const options = {
  network: option,
  owner: option,
  asset: { ...option, multiple: true },
  'key-file': option,
  json: { type: 'boolean' },
} as const

function readOptions(args: readonly string[]) {
  const { network, owner, asset = [undefined], json = false, 'key-file': keyFile } = readArguments(args, { options, usage }).values
  if (network === undefined || owner === undefined) throw cliErrors('cli/usage', { why: 'Give --network and --owner.', usage })
  const id = parseNetwork(network)
  if (networkFamily(id) !== 'solana')
    throw cliErrors('cli/usage', { why: `${formatNetwork(id)} has no token accounts: wallets there are paid as they are.`, usage })
  return { network: id, owner, assets: asset, json, keyFile }
}

function tell({ account, owner, network, asset, opening }: OpenedTokenAccount, { out }: Terminal): void {
  const what = `${asset.symbol} account ${account} of ${owner} on ${formatNetwork(network)}`
  out(opening === undefined ? `${what} is there already: nothing was sent\n` : `opened ${what} in ${opening.transaction}\n`)
}

function sol(network: string, lamports: bigint): string {
  const { coin = { symbol: 'SOL', decimals: 9 } } = networkFacts(network) ?? {}
  return formatAmount(lamports, coin)
}
