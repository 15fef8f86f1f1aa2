import { fileURLToPath } from 'node:url'

/** The script of the page in one text, made of its sources where no build has been; a build puts the text itself in this file's place. */
export async function playerScript(): Promise<string> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('./main.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    conditions: ['@flow402x/source'],
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}
