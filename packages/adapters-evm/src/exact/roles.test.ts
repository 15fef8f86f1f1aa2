import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/** Every package that a role loads, followed through its own files. */
function loads(entry: string): string[] {
  const seen = new Set<string>()
  const packages = new Set<string>()
  const follow = (file: URL): void => {
    if (seen.has(file.href)) return
    seen.add(file.href)
    const statements = readFileSync(fileURLToPath(file), 'utf8').matchAll(/^(?:import|export) (?!type )[^']*?from '([^']+)'/gm)
    for (const [, specifier = ''] of statements) {
      if (specifier.startsWith('.')) follow(new URL(specifier, file))
      else packages.add(specifier)
    }
  }
  follow(new URL(`../${entry}.ts`, import.meta.url))
  return [...packages].sort()
}

test('the seller loads no chain library, and of cryptography a hash', () => {
  expect(loads('server')).toEqual(['@flow402x/core', '@noble/hashes/sha2', '@noble/hashes/utils', 'zod/mini'])
})

test('the payer loads a curve and hashes, and nothing of Node', () => {
  const hashes = ['@noble/hashes/sha2', '@noble/hashes/sha3', '@noble/hashes/utils']
  expect(loads('client')).toEqual(['@flow402x/core', '@noble/curves/secp256k1', ...hashes, 'zod/mini'])
})

test('the facilitator loads no more but what finds the native curve', () => {
  const more = loads('facilitator').filter((specifier) => !loads('client').includes(specifier))
  expect(more).toEqual(['node:module'])
  expect(more.every(isBuiltin)).toBe(true)
})
