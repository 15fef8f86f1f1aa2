import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Dev, startDev } from 'flow402x'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buy, seller } from './paid-route.ts'

const home = process.cwd()
// The example keeps its books in the folder it is started in.
const folder = mkdtempSync(join(tmpdir(), 'flow402x-example-'))
let dev: Dev
beforeAll(async () => {
  process.chdir(folder)
  dev = await startDev()
})
afterAll(async () => {
  await dev?.close()
  process.chdir(home)
  rmSync(folder, { recursive: true })
})

it('sells a route for a cent and buys it', async () => {
  const [chain] = dev.chains
  if (chain === undefined) throw new TypeError('no chain')
  const app = await seller(chain.seller.address, dev.world.facilitator.url)
  const listening = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => listening.once('listening', resolve))
  try {
    // A server that listens on a host has an address with a port.
    const { port } = listening.address() as AddressInfo
    const before = await chain.balanceOf(chain.seller.address)
    const bought = await buy(`http://127.0.0.1:${port}/weather`, chain.buyer.privateKey)
    expect(bought.answer).toEqual({ sky: 'fair', celsius: 21 })
    expect(bought.transaction).toMatch(/^0x[0-9a-f]{64}$/)
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 10_000n)
  } finally {
    listening.close()
  }
})

it.each(['seller', 'buyer'])('is quoted word for word in the README: %s', (region) => {
  const source = readFileSync(new URL('./paid-route.ts', import.meta.url), 'utf8')
  const body = source
    .slice(source.indexOf(`// #region ${region}`))
    .split('\n')
    .slice(1)
  const quoted = body
    .slice(
      0,
      body.findIndex((line) => line.includes('// #endregion')),
    )
    .map((line) => line.replace(/^ {2}/, ''))
  expect(readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')).toContain(quoted.join('\n'))
})
