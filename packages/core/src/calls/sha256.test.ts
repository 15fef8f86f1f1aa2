import { afterEach, expect, test, vi } from 'vitest'
import { sha256 } from './sha256.ts'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

// FIPS 180-2, B.1.
const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const bytes = new TextEncoder().encode('abc')

test('Node hashes at once, the web later, and a page without either not at all', async () => {
  expect(sha256(bytes)).toBe(abc)
  vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
  expect(await sha256(bytes)).toBe(abc)
  vi.stubGlobal('crypto', {})
  expect(sha256(bytes)).toBeUndefined()
})
