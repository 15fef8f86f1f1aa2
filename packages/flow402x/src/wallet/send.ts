import { assetOf, formatAmount, formatNetwork, networkFacts, parseNetwork } from '@flow402x/core'
import type { PaymentEstimate } from '@flow402x/core/token'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type Command, printJson, readArguments, type Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { readRpcUrl } from '../cli/rpc-url.ts'
import { adapterFor, familyOf, needAccount } from './account.ts'
import { needWalletFile } from './home.ts'

const usage =
  'flow402x wallet send --network NAME --to ADDRESS --amount 1.5 [--asset SYMBOL] [--open-account] [--id NAME] [--yes] [--dry-run] [--key-file FILE] [--json]'

/** `flow402x wallet send`: a transfer, shown before it is made. */
export const send: Command = {
  summary: 'Sends tokens or coins, and says what it will do before it does.',
  usage: `${usage}

  --network NAME    a network, by name or CAIP-2 id
  --to ADDRESS      who is paid
  --amount NUMBER   how much, in the asset: 1.5
  --asset SYMBOL    USDC, DAI, ETH, SOL, …; the network's stablecoin unless given
  --open-account    opens the recipient's token account on Solana where it is missing, at your expense of about 0.002 SOL
  --id NAME         names this payment: the same call with the same id pays nothing more, whatever became of the first
  --yes             does not ask
  --dry-run         says what it would do and what it would cost, and sends nothing
  --key-file FILE   the key that pays; what the environment names unless given
  --json            prints one line of JSON: the payment, its id and its transaction

What is sent is written down in ~/.flow402x/wallet.db, or the file that FLOW402X_WALLET_FILE names, before it leaves. If a call ends without an answer, call again
with the id that it told: it sends the same bytes again and never a second payment.`,
  async run(args, terminal) {
    const { network, to, amount, asset, openAccounts, id, yes, dryRun, keyFile, json } = readOptions(args)
    const account = await needAccount(terminal, familyOf(network), keyFile)
    const store = sqliteStore(await needWalletFile(terminal.env))
    try {
      const rpcUrl = readRpcUrl(terminal.env, network)
      const adapter = adapterFor({ network, rpcUrl, asset: asset.address, account, store, openAccounts })
      const cost = await adapter.estimatePayment?.(to, amount, { signal: terminal.signal })
      const payment = { network, from: account.address, to, amount: `${amount} ${asset.symbol}`, id }
      if (!json || !yes) for (const line of describe(payment, cost)) terminal.note(line)
      if (dryRun) {
        if (json) printJson(terminal, { ...payment, cost })
        return 0
      }
      if (!yes) await confirm(terminal)
      const transaction = await adapter.createPayment(to, amount, { id, signal: terminal.signal })
      if (json) printJson(terminal, { ...payment, transaction })
      else terminal.out(`sent ${amount} ${asset.symbol} to ${to} in ${transaction}\n`)
      return 0
    } finally {
      await store.close()
    }
  },
}

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const options = {
  network: text,
  to: text,
  amount: text,
  asset: text,
  'open-account': flag,
  id: text,
  yes: flag,
  'dry-run': flag,
  'key-file': text,
  json: flag,
} as const

function readOptions(args: readonly string[]) {
  const { values } = readArguments(args, { options, usage })
  const { network: name, to, amount, json = false, yes = false } = values
  if (name === undefined || to === undefined || amount === undefined)
    throw cliErrors('cli/usage', { why: 'Give --network, --to and --amount.', usage })
  const network = parseNetwork(name)
  return {
    network,
    to,
    amount,
    asset: assetOf(network, values.asset),
    openAccounts: values['open-account'] ?? false,
    id: values.id ?? crypto.randomUUID(),
    yes,
    dryRun: values['dry-run'] ?? false,
    keyFile: values['key-file'],
    json,
  }
}

type Payment = { readonly network: string; readonly from: string; readonly to: string; readonly amount: string; readonly id: string }

function describe({ network, from, to, amount, id }: Payment, cost: PaymentEstimate | undefined): string[] {
  const coin = networkFacts(network)?.coin
  const rent = cost?.rent
  const fee = cost === undefined || coin === undefined ? undefined : formatAmount(cost.fee, coin)
  return [
    `send ${amount} on ${formatNetwork(network)}`,
    `from ${from}`,
    `to   ${to}`,
    ...(fee === undefined ? [] : [`fee  at most ${fee}`]),
    ...(rent === undefined || coin === undefined ? [] : [`rent ${formatAmount(rent, coin)}, which stays in the recipient's new account`]),
    `id   ${id}`,
  ]
}

async function confirm({ ask }: Terminal): Promise<void> {
  const answer = await ask?.('Send it? [y/N] ', { hidden: false })
  if (!/^y(?:es)?$/i.test(answer?.trim() ?? '')) throw cliErrors('cli/unconfirmed', {})
}
