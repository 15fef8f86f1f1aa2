import { expect, test } from 'vitest'
import { sha256, webSha256 } from './sha256.ts'

test('Node and the web hash alike', async () => {
  const bytes = new TextEncoder().encode('abc')
  // FIPS 180-2, B.1.
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  expect([sha256(bytes), await webSha256(bytes)]).toEqual([abc, abc])
})
