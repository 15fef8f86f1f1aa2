import { readFile, stat } from 'node:fs/promises'
import { isSealed, openSecret } from '../wallet/keystore.ts'
import type { Terminal } from './command.ts'
import { cliErrors } from './errors.ts'

/** Where the keys of each chain family stand. */
export const keyVariables = { eip155: 'FLOW402X_EVM_PRIVATE_KEY', solana: 'FLOW402X_SOLANA_PRIVATE_KEY' } as const

/** Where the passphrase of encrypted key files stands. */
export const passphraseVariable = 'FLOW402X_PASSPHRASE'

/** A private key as it is written, or the bytes that an encrypted file held. */
export type FoundKey = string | Uint8Array

/** Who is asked for keys and passphrases. */
export type KeySource = Pick<Terminal, 'env' | 'ask'>

/**
 * The private key in a file, in an environment variable, or in the file that the same variable with `_FILE` names; nothing where none of
 * them is told. Nobody else may read the file. An encrypted one is opened with the passphrase of the environment, else of whoever
 * sits there.
 *
 * Errors: `cli/open-key-file`, `cli/unreadable-file`, `cli/bad-keystore`, `cli/wrong-passphrase`, `cli/no-passphrase`; none of them
 * shows the key.
 */
export async function findKey(
  source: KeySource,
  { variable, file = source.env[`${variable}_FILE`] }: { readonly variable: string; readonly file?: string | undefined },
): Promise<FoundKey | undefined> {
  const told = source.env[variable]?.trim()
  // A file that was named for this call goes before what stands in the environment.
  const isNamed = file !== undefined && file !== source.env[`${variable}_FILE`]
  if (!isNamed && told !== undefined && told !== '') return told
  if (file === undefined || file === '') return undefined
  const text = (await readPrivate(file)).trim()
  if (!isSealed(text)) return text === '' ? undefined : text
  const opened = await openSecret(text, await findPassphrase(source, `Passphrase of ${file}: `))
  if (opened === 'unreadable') throw cliErrors('cli/bad-keystore', { file })
  if (opened === 'wrong') throw cliErrors('cli/wrong-passphrase', { file })
  return opened
}

/** The passphrase of the environment, or else of whoever sits there. Errors: `cli/no-passphrase`, those of its file. */
export async function findPassphrase({ env, ask }: KeySource, question: string): Promise<string> {
  const file = env[`${passphraseVariable}_FILE`]
  // A file ends with a line break, which is no part of what was chosen.
  const told = env[passphraseVariable] ?? (file === undefined ? undefined : (await readPrivate(file)).replace(/\r?\n$/, ''))
  const passphrase = told ?? (await ask?.(question, { hidden: true }))
  if (passphrase === undefined || passphrase === '') throw cliErrors('cli/no-passphrase', { variable: passphraseVariable })
  return passphrase
}

async function readPrivate(file: string): Promise<string> {
  try {
    const { mode } = await stat(file)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) throw cliErrors('cli/open-key-file', { file })
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw cliErrors('cli/unreadable-file', { file, why: 'it does not exist' })
    throw error
  }
}
