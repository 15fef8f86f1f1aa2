import { readFile, stat } from 'node:fs/promises'
import { cliErrors } from './errors.ts'

/**
 * The private key in an environment variable, or in the file that the same variable with `_FILE` names, which nobody else may read.
 *
 * Errors: `cli/no-key`, `cli/open-key-file`, `cli/unreadable-file`; none of them shows the key.
 */
export async function readKey(env: Readonly<Record<string, string | undefined>>, variable: string): Promise<`0x${string}`> {
  const text = env[variable] ?? (await fromFile(env[`${variable}_FILE`]))
  if (text === undefined || text.trim() === '') throw cliErrors('cli/no-key', { variable })
  const key = text.trim()
  return `0x${key.replace(/^0x/, '')}`
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
