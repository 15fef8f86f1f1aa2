import { mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Terminal } from '../cli/command.ts'
import { cliErrors } from '../cli/errors.ts'

/** The variable that names the file in which a wallet's books are kept. */
export const walletFileVariable = 'FLOW402X_WALLET_FILE'

/**
 * The file of a wallet's books, of payments and channels alike: what the environment names, or `.flow402x/wallet.db` of the home
 * directory; nothing without either. Its folder is made where it is missing, for nobody else.
 */
export async function findWalletFile(env: Terminal['env']): Promise<string | undefined> {
  const home = env.HOME ?? env.USERPROFILE
  const file = env[walletFileVariable] ?? (home === undefined ? undefined : join(home, '.flow402x', 'wallet.db'))
  if (file !== undefined) await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  return file
}

/** As `findWalletFile`, where there must be one. Errors: `cli/no-wallet-file`. */
export async function needWalletFile(env: Terminal['env']): Promise<string> {
  const file = await findWalletFile(env)
  if (file === undefined) throw cliErrors('cli/no-wallet-file', { variable: walletFileVariable })
  return file
}

/** Writes a file that only its owner may read, and that was not there; it is on disk when this resolves. Errors: `cli/file-exists`, `cli/unwritable-file`. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'EEXIST') throw cliErrors('cli/file-exists', { file, cause })
    throw cliErrors('cli/unwritable-file', { file, why: cause instanceof Error ? cause.message : String(cause), cause })
  })
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  const folder = await open(dirname(file), 'r')
  await folder.sync().finally(() => folder.close())
}
