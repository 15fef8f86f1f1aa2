import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { type Command, printJson, readArguments, type Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'
import { findPassphrase, keyVariables, passphraseVariable } from '../cli/key.ts'
import { accountOf, type Family, findAccount, hexKey } from './account.ts'
import { needWalletFile, writePrivate } from './home.ts'
import { sealSecret } from './keystore.ts'

const usage = 'flow402x wallet new --evm|--solana [--out FILE] [--plain] [--json]'

/** `flow402x wallet new`: makes a key and writes it to a file that nobody else reads. */
export const newWallet: Command = {
  summary: 'Makes a key, encrypted in a file that only you can read.',
  usage: `${usage}

  --evm, --solana   the family of chains
  --out FILE        where the key is written; evm.json or solana.json in ~/.flow402x unless given
  --plain           writes the key as it is: for machines that nobody sits at
  --json            prints one line of JSON: family, address, file and whether it is encrypted

The file is encrypted with a passphrase (Web3 Secret Storage, version 3) from ${passphraseVariable}, from the file that
${passphraseVariable}_FILE names, or from the terminal. Plain files of Solana are those of solana-keygen. Nobody can bring back a lost
file or a lost passphrase: keep a copy of both.`,
  async run(args, terminal) {
    const { evm = false, solana = false, plain = false, json = false, out } = readArguments(args, { options, usage }).values
    if (evm === solana) throw cliErrors('cli/usage', { why: 'Name one of --evm and --solana.', usage })
    const family: Family = solana ? 'solana' : 'eip155'
    const file = out ?? join(dirname(await needWalletFile(terminal.env)), `${family === 'solana' ? 'solana' : 'evm'}.json`)
    const made = makeKey(family)
    const passphrase = plain ? undefined : await choosePassphrase(terminal)
    const text = passphrase === undefined ? made.plain : await sealSecret(made.secret, { passphrase, address: made.address })
    await writePrivate(file, text)
    await assertReadable(terminal, { file, family, address: made.address, passphrase })
    const variable = `${keyVariables[family]}_FILE`
    if (json) printJson(terminal, { family, address: made.address, file, encrypted: passphrase !== undefined })
    else {
      terminal.out(`${made.address}\n`)
      terminal.note(`wrote ${passphrase === undefined ? 'the key as it is' : 'the encrypted key'} to ${file}`)
      terminal.note(`export ${variable}=${file}`)
    }
    return 0
  },
}

const options = {
  evm: { type: 'boolean' },
  solana: { type: 'boolean' },
  out: { type: 'string' },
  plain: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

type Made = { readonly address: string; readonly secret: Uint8Array; readonly plain: string }

function makeKey(family: Family): Made {
  if (family === 'eip155') {
    const secret = randomBytes(32)
    const plain = hexKey(secret)
    return { address: accountOf(family, plain).address, secret, plain: `${plain}\n` }
  }
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const secret = Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')])
  return { address: accountOf(family, secret).address, secret, plain: `${JSON.stringify([...secret])}\n` }
}

async function choosePassphrase(terminal: Terminal): Promise<string> {
  const first = await findPassphrase(terminal, 'Passphrase for the new key: ')
  const isTyped = terminal.env[passphraseVariable] === undefined && terminal.env[`${passphraseVariable}_FILE`] === undefined
  const second = isTyped ? await terminal.ask?.('The same once more: ', { hidden: true }) : first
  if (second !== first) throw cliErrors('cli/passphrases-differ', {})
  return first
}

type Written = { readonly file: string; readonly family: Family; readonly address: string; readonly passphrase: string | undefined }

/** A key that cannot be read back would be money lost, so it is before anybody is paid there. */
async function assertReadable({ env }: Terminal, { file, family, address, passphrase }: Written): Promise<void> {
  const known = passphrase === undefined ? {} : { [passphraseVariable]: passphrase }
  const account = await findAccount({ env: { ...env, ...known } }, family, file)
  if (account?.address !== address) throw cliErrors('cli/bad-keystore', { file })
}
