import { readFile, stat } from 'node:fs/promises'
import { cliErrors } from './errors.ts'

/** Where the keys of each chain family stand. */
export const keyVariables = { eip155: 'FLOW402X_EVM_PRIVATE_KEY', solana: 'FLOW402X_SOLANA_PRIVATE_KEY' } as const

/**
 * The private key in an environment variable, or in the file that the same variable with `_FILE` names, which nobody else may read;
 * nothing where neither is set.
 *
 * Errors: `cli/open-key-file`, `cli/unreadable-file`; none of them shows the key.
 */
export async function findKey(env: Readonly<Record<string, string | undefined>>, variable: string): Promise<string | undefined> {
  const key = (env[variable] ?? (await fromFile(env[`${variable}_FILE`])))?.trim()
  return key === '' ? undefined : key
}

async function fromFile(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
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
