import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The folder of the repository. */
export const root = fileURLToPath(new URL('../../../..', import.meta.url))

/** Builds the packages as they are published, from cache where nothing changed; says why where that failed. */
export async function buildPackages(): Promise<string | undefined> {
  try {
    await promisify(execFile)('npx', ['-y', 'pnpm@12.21.0', 'build'], { cwd: root })
    return undefined
  } catch {
    return 'the packages do not build'
  }
}
