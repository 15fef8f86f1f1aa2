import { type Command, printJson, readArguments } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { keyVariables } from '../cli/key.ts'
import { type Account, families, findAccount } from './account.ts'

const usage = 'flow402x wallet address [--evm|--solana] [--key-file FILE] [--json]'

/** `flow402x wallet address`: who the keys of the environment are. */
export const address: Command = {
  summary: 'Prints the addresses of your keys.',
  usage: `${usage}

  --evm, --solana   one family of chains; every one that there is a key of unless given
  --key-file FILE   a key file, of the one family that is named
  --json            prints one line of JSON`,
  async run(args, terminal) {
    const { evm, solana, json, 'key-file': file } = readArguments(args, { options, usage }).values
    const named = families.filter((family) => (family === 'solana' ? solana : evm) === true)
    if (file !== undefined && named.length !== 1) throw cliErrors('cli/usage', { why: 'Name the family of the key file.', usage })
    const wanted = named.length === 0 ? families : named
    const found: Account[] = []
    for (const family of wanted) found.push(...[await findAccount(terminal, family, file)].filter((one) => one !== undefined))
    if (found.length === 0) throw cliErrors('cli/no-key', { variables: wanted.map((family) => keyVariables[family]) })
    if (json) printJson(terminal, { accounts: found.map(({ family, address: own }) => ({ family, address: own })) })
    else terminal.out(found.map(({ address: own }) => `${own}\n`).join(''))
    return 0
  },
}

const options = {
  evm: { type: 'boolean' },
  solana: { type: 'boolean' },
  'key-file': { type: 'string' },
  json: { type: 'boolean' },
} as const
