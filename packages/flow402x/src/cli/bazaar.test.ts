import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTextSigner } from '@flow402x/adapters-evm/receipt'
import { createBazaarClient } from '@flow402x/bazaar/client'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { runCommand } from './run.ts'

let dev: Dev
let folder: string
beforeAll(async () => {
  dev = await startDev({ networks: ['base-sepolia'] })
  folder = await mkdtemp(join(tmpdir(), 'flow402x-cli-bazaar-'))
})
afterAll(async () => {
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})

function terminal(env: Record<string, string> = {}) {
  const out: string[] = []
  const notes: string[] = []
  const ending = new AbortController()
  const given = { env, stdin: (async function* () {})(), signal: ending.signal }
  return {
    out,
    notes,
    ending,
    given: { ...given, out: (chunk: string | Uint8Array) => out.push(String(chunk)), note: (line: string) => notes.push(line) },
  }
}

it('the local world lists its sample seller, and a buyer finds the cheapest that writes text', async () => {
  verifies('BAZAAR-SEARCH')
  const client = createBazaarClient({ url: dev.world.bazaar.url })
  const found: string[] = []
  for await (const { resource } of client.list({ category: 'ai.text-generation', sort: 'price', healthy: true, network: 'eip155:84532' }))
    found.push(resource)
  expect(found).toEqual([`${dev.world.seller.url}/ai/generate`, `${dev.world.seller.url}/ai/tokens`])
})

it('a payment is announced by the facilitator, counted from the chain, and rated by its payer', async () => {
  verifies(['H12', 'M34'])
  const [chain] = dev.chains
  const url = `${dev.world.seller.url}/weather`
  const { given, out } = terminal({ FLOW402X_EVM_PRIVATE_KEY: chain?.buyer.privateKey ?? '' })
  expect(await runCommand(['pay', `${url}?place=Lisbon`, '--json'], given)).toBe(0)
  const transaction = /0x[0-9a-f]{64}/.exec(out.join(''))?.[0] ?? ''
  // A client remembers what it was told for a while.
  const asked = async () => (await createBazaarClient({ url: dev.world.bazaar.url }).listing(url)).listing?.ratings
  await vi.waitFor(async () => expect(await asked()).toMatchObject({ payers: 1 }), { interval: 200 })
  const signer = evmTextSigner(privateKeySigner(chain?.buyer.privateKey ?? ''))
  const purchase = { url, payer: chain?.buyer.address ?? '', requirements: { network: 'eip155:84532' }, receipt: { transaction } }
  const client = createBazaarClient({ url: dev.world.bazaar.url })
  expect(await client.rate({ purchase, stars: 5, comment: 'Right about the rain' }, { signer })).toEqual({ accepted: true })
  expect(await asked()).toMatchObject({ count: 1, average: 5 })
})

it.each([
  ['GET', '/weather'],
  ['POST', '/ai/generate'],
])('the page of %s %s shows a command that pays for it', async (method, path) => {
  verifies('BAZAAR-CALLS')
  const asked = new URLSearchParams({ url: `${dev.world.seller.url}${path}`, method })
  const page = await (await fetch(`${dev.world.bazaar.url}/resource?${asked}`)).text()
  const [, shown = ''] = /<h3 id="pay">.*?<code data-copy>(.*?)<\/code>/s.exec(page) ?? []
  const command = shown.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
  // What a shell makes of it, up to the program that npx would start.
  const shell = `npx() { shift; printf '%s\\0' "$@"; }\n${command}`
  const words = execFileSync('sh', ['-c', shell], { encoding: 'utf8' }).split('\0').slice(0, -1)
  expect(words.slice(0, 2)).toEqual(['pay', `${dev.world.seller.url}${path}`])
  const { given, notes } = terminal({ FLOW402X_EVM_PRIVATE_KEY: dev.chains[0]?.buyer.privateKey ?? '' })
  expect(await runCommand(words, given)).toBe(0)
  expect(notes.join()).toMatch(/0x[0-9a-f]{64}/)
})

it('hosts a bazaar in a file, which keeps what it lists', async () => {
  verifies('H12')
  const args = ['bazaar', '--port', '0', '--store', join(folder, 'bazaar.db'), '--allow-loopback', '--json']
  const url = `${dev.world.seller.url}/weather`
  for (const state of ['unknown', 'listed']) {
    const { given, out, ending } = terminal()
    const ended = runCommand(args, given)
    await vi.waitFor(() => expect(out).toHaveLength(1))
    const client = createBazaarClient({ url: JSON.parse(out[0] ?? '').url })
    expect(await client.listing(url)).toMatchObject({ state })
    expect(await client.register({ url })).toMatchObject({ state: 'listed' })
    ending.abort()
    expect(await ended).toBe(0)
  }
})

it('lists nothing of this machine unless it is told to', async () => {
  verifies('A20')
  const { given, out, ending } = terminal()
  const ended = runCommand(['bazaar', '--port', '0', '--store', join(folder, 'strict.db'), '--json'], given)
  await vi.waitFor(() => expect(out).toHaveLength(1))
  const client = createBazaarClient({ url: JSON.parse(out[0] ?? '').url })
  expect(await client.register({ url: `${dev.world.seller.url}/weather` })).toMatchObject({ state: 'rejected', reason: 'insecure_url' })
  ending.abort()
  expect(await ended).toBe(0)
  expect(await runCommand(['bazaar', '--port', 'x'], terminal().given)).toBe(2)
})
