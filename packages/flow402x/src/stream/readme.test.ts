import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { sampleVideo } from '../dev/sample-video.ts'
import { FlowClient } from './flow-client.ts'
import { flowMiddleware } from './flow-middleware.ts'

let dev: Dev
let folder: string
let video: Uint8Array
beforeAll(async () => {
  dev = await startDev({ networks: ['base', 'solana'] })
  folder = await mkdtemp(join(tmpdir(), 'flow402x-readme-'))
  video = await sampleVideo({ seconds: 3 })
  await writeFile(join(folder, 'stream.mp4'), video)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})

/** The snippet of the README that begins so, without its imports; `put` stands in the place of what is its reader's own. */
async function snippet(beginning: string, put: Readonly<Record<string, string>>): Promise<string> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
  const [, code = ''] =
    readme
      .split('```')
      .filter((block) => block.includes(beginning))[0]
      ?.split(/^js\n/) ?? []
  const own = Object.entries(put).reduce((text, [from, to]) => {
    expect(text).toContain(from)
    return text.replaceAll(from, to)
  }, code)
  return own.replace(/^import .*$/gm, '')
}

it.each(['base', 'solana'] as const)('the snippets of the README sell and buy a video file on %s', async (network) => {
  verifies('FLOW-API')
  const { solana } = dev
  const [evm] = dev.chains
  if (evm === undefined || solana === undefined) throw new TypeError('a chain is missing')
  const { rpcUrl, seller, buyer } = network === 'solana' ? solana : evm
  const received = () => (network === 'solana' ? solana.balanceOf(solana.seller.address) : evm.balanceOf(evm.seller.address))
  const variables = {
    FLOW402X_FACILITATOR_URL: dev.world.facilitator.url,
    [network === 'solana' ? 'FLOW402X_RPC_URL_SOLANA' : 'FLOW402X_RPC_URL_EIP155_8453']: rpcUrl,
    FLOW402X_SECRET: 'a secret of the seller, which is long enough',
    FLOW402X_STORE: join(folder, `${network}-books.db`),
    FLOW402X_WALLET_FILE: join(folder, `${network}-wallet.db`),
  }
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
  const before = await received()
  const app = express()
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  // A server that listens on a port has such an address.
  const { port } = server.address() as AddressInfo
  const chunks: Uint8Array[] = []
  const put = {
    "'base'": `'${network}'`,
    '0xYourAddress': seller.address,
    '/videos/stream.mp4': join(folder, 'stream.mp4'),
    // The second is a transfer for each ten seconds, however long that takes.
    "'…', rate: 0.01, duration: 60": `'${seller.address}', rate: 0.01, duration: 1`,
  }
  const own = {
    app,
    flowMiddleware,
    FlowClient,
    wallet: buyer.privateKey,
    url: `http://127.0.0.1:${port}/premium-stream`,
    show: (chunk: Uint8Array) => chunks.push(chunk),
  }
  try {
    // Whatever the README says is run as it stands there.
    const run = new Function(...Object.keys(own), `return (async () => {${await snippet('flowMiddleware', put)}})()`)
    await run(...Object.values(own))
    expect(Buffer.concat(chunks).equals(video)).toBe(true)
    // What was transferred is there at once; what was streamed stands in a channel until it is claimed.
    await expect.poll(async () => (await received()) - before).toBeGreaterThanOrEqual(10_000n)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
