import { address } from '../wallet/address.ts'
import { balance } from '../wallet/balance.ts'
import { fund } from '../wallet/fund.ts'
import { initAccounts } from '../wallet/init-accounts.ts'
import { newWallet } from '../wallet/new.ts'
import { send } from '../wallet/send.ts'
import { type Command, noSubcommand } from './command.ts'
import { cliErrors } from './errors.ts'

const subcommands: Readonly<Record<string, Command>> = { new: newWallet, address, balance, send, fund, 'init-accounts': initAccounts }

const usage = 'flow402x wallet new|address|balance|send|fund|init-accounts [options]'

/** `flow402x wallet`: keys, balances and transfers. */
export const wallet: Command = {
  summary: 'Makes keys, shows what they hold, sends and funds.',
  usage: `${usage}

${Object.entries(subcommands)
  .map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`)
  .join('\n')}

Keys come from FLOW402X_EVM_PRIVATE_KEY and FLOW402X_SOLANA_PRIVATE_KEY, or from the files that the same names with _FILE name, encrypted
or not, which nobody else may read. Run "flow402x wallet <command> --help" for its options.`,
  subcommands,
  async run([name]) {
    throw cliErrors('cli/usage', { why: noSubcommand('wallet', name), usage })
  },
}
