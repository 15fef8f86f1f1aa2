import { fileURLToPath } from 'node:url'

// The scripts of the pages in one text each, made of their sources where no build has been; a build puts the texts themselves in this file's place.

/** The script of a stream's page. */
export function streamScript(): Promise<string> {
  return scriptOf('../player/main.ts')
}

/** The script of the page of what is bought whole. */
export function checkoutScript(): Promise<string> {
  return scriptOf('../checkout/main.ts')
}

/** What pays on Solana, which that page loads for whom has a wallet there. */
export function solanaScript(): Promise<string> {
  return scriptOf('../checkout/solana.ts')
}

async function scriptOf(entry: string): Promise<string> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
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
