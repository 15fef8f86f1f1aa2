import { fork } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTextSigner } from '@flow402x/adapters-evm/receipt'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { exactSolanaClient, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import { solanaTextSigner } from '@flow402x/adapters-solana/receipt'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { createClient } from '@flow402x/client'
import { viewProver } from '@flow402x/stream/client'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { sampleVideo } from '../dev/sample-video.ts'
import { type FlowOptions, flowMiddleware } from './flow-middleware.ts'

let dev: Dev
let folder: string
let video: Uint8Array
const closing: (() => unknown)[] = []
beforeAll(async () => {
  dev = await startDev({ networks: ['base', 'solana'] })
  folder = await mkdtemp(join(tmpdir(), 'flow402x-view-'))
  video = await sampleVideo({ seconds: 4 })
  await writeFile(join(folder, 'film.mp4'), video)
})
afterAll(async () => {
  for (const close of closing) close()
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})

const chainOf = (network: string) => {
  const chain = network === 'solana' ? dev.solana : dev.chains[0]
  if (chain === undefined) throw new TypeError('a chain is missing')
  return chain
}

const environment = () => ({
  FLOW402X_FACILITATOR_URL: dev.world.facilitator.url,
  FLOW402X_RPC_URL_EIP155_8453: chainOf('base').rpcUrl,
  FLOW402X_RPC_URL_SOLANA: chainOf('solana').rpcUrl,
  FLOW402X_SECRET: 'a secret of the seller, which is long enough',
  FLOW402X_STORE: join(folder, 'books.db'),
})

const wallets = {
  base: () => exactEvmClient({ signer: privateKeySigner(`${chainOf('base').buyer.privateKey}`) }),
  solana: () => {
    const { rpcUrl, buyer } = chainOf('solana')
    return exactSolanaClient({ signer: secretKeySender(buyer.privateKey), reader: solanaReader({ rpcUrl }) })
  },
}

describe.each(['base', 'solana'] as const)('a film for fifty cents on %s', (network) => {
  it('is shown once it is paid, and again for nothing, to nobody else', async () => {
    verifies(['T8', 'FLOW-API'])
    const recipient = chainOf(network).seller.address
    await serving({ perView: '0.50', token: 'USDC', network, recipient, env: environment() }, async (url) => {
      const before = await balance(network, recipient)
      const asked = await fetch(url)
      expect(asked.status).toBe(402)
      expect(
        Object.fromEntries(['payment-address', 'payment-rate', 'payment-token', 'network'].map((name) => [name, asked.headers.get(name)])),
      ).toEqual({
        'payment-address': recipient,
        'payment-rate': '0.50 USD/view',
        'payment-token': 'USDC',
        network: network === 'base' ? 'Base' : 'Solana',
      })
      const client = createClient({ schemes: [wallets[network]()], budget: { perPayment: '$1' } })
      const shown = await client.fetch(url)
      expect(shown.status).toBe(200)
      expect(shown.headers.get('cache-control')).toContain('no-store')
      expect(Buffer.from(await shown.arrayBuffer()).equals(video)).toBe(true)
      await expect.poll(async () => (await balance(network, recipient)) - before).toBe(500_000n)
      const pass = shown.headers.get('payment-pass') ?? ''
      const [cookie = ''] = shown.headers.get('set-cookie')?.split(';') ?? []
      for (const headers of [{ 'payment-pass': pass }, { cookie }]) {
        const again = await fetch(url, { headers: { ...headers, range: 'bytes=10-19' } })
        expect([again.status, again.headers.get('content-range')]).toEqual([206, `bytes 10-19/${video.length}`])
        expect(Buffer.from(await again.arrayBuffer()).equals(video.subarray(10, 20))).toBe(true)
      }
      expect((await fetch(url)).status).toBe(402)
      expect((await fetch(url.replace('/film', '/other'), { headers: { 'payment-pass': pass } })).status).toBe(402)
      expect((await balance(network, recipient)) - before).toBe(500_000n)
    })
  })
})

const signers = {
  base: () => evmTextSigner(privateKeySigner(`${chainOf('base').buyer.privateKey}`)),
  solana: () => solanaTextSigner(chainOf('solana').buyer.privateKey),
}

describe.each(['base', 'solana'] as const)('two views that take a proof on %s', (network) => {
  it('are shown to the wallet that paid them, and by no copy of anything', async () => {
    verifies('FS1-VIEW-GRANT')
    const recipient = chainOf(network).seller.address
    const viewOrigin = 'https://cinema.example'
    const options = { perView: '0.50', token: 'USDC', network, recipient, env: environment(), views: 2, viewLasts: 0, viewOrigin }
    await serving(options, async (url) => {
      const shown = await createClient({ schemes: [wallets[network]()], budget: { perPayment: '$1' } }).fetch(url)
      expect([shown.status, shown.headers.get('set-cookie')]).toEqual([200, null])
      const pass = shown.headers.get('payment-pass') ?? ''
      const prove = viewProver({ signer: signers[network](), network: chainOf(network).network })
      const asks = async (header: string) => (await fetch(url, { headers: { 'payment-pass': header } })).status
      const proof = await prove(`${viewOrigin}/film`, pass)
      expect([await asks(pass), await asks(await prove(url, pass)), await asks(proof), await asks(proof)]).toEqual([402, 402, 200, 402])
      // It was paid for twice, and seen with its answer and once more.
      expect(await asks(await prove(`${viewOrigin}/film`, pass))).toBe(402)
    })
  })
})

it('is seen by who paid it where its seller is killed between the sale and the view, and paid once', async () => {
  verifies('FS1-VIEW-GRANT')
  const { network, seller } = chainOf('base')
  const before = await balance('base', seller.address)
  const seen = async (dies: string): Promise<void> => {
    const file = join(folder, `${dies.replaceAll(' ', '-')}.db`)
    const plan = { env: environment(), file, film: join(folder, 'film.mp4'), network, recipient: seller.address }
    const first = await startSeller({ ...plan, port: 0, dies })
    const url = `http://127.0.0.1:${first.port}/film`
    const retry = { attempts: 100, firstDelayMs: 200, maxDelayMs: 500 }
    const showing = createClient({ schemes: [wallets.base()], budget: { perPayment: '$1' }, retry }).fetch(url)
    await first.died
    await startSeller({ ...plan, port: first.port, dies: 'never' })
    const shown = await showing
    expect(shown.status).toBe(200)
    expect(Buffer.from(await shown.arrayBuffer()).equals(video)).toBe(true)
    // One view was paid, and it was this.
    const again = await fetch(url, { headers: { 'payment-pass': shown.headers.get('payment-pass') ?? '' } })
    expect(again.status).toBe(402)
  }
  await Promise.all(['before it is written', 'after it is written'].map(seen))
  await expect.poll(async () => (await balance('base', seller.address)) - before).toBe(1_000_000n)
})

/** A seller in a process of its own. */
async function startSeller(plan: object): Promise<{ readonly port: number; readonly died: Promise<void> }> {
  const child = fork(fileURLToPath(new URL('../fixtures/view-process.ts', import.meta.url)), [], {
    execArgv: ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')],
  })
  closing.push(() => child.kill('SIGKILL'))
  const died = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.send(plan)
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve(Number(message)))
    child.once('exit', () => reject(new RangeError('the seller died at its start')))
  })
  return { port, died }
}

it('names the variable that is missing, at once', () => {
  verifies('FLOW-API')
  const options = { perView: '0.50', token: 'USDC', network: 'base', recipient: chainOf('base').seller.address }
  for (const variable of Object.keys(environment()).filter((name) => name !== 'FLOW402X_RPC_URL_SOLANA')) {
    const env = { ...environment(), [variable]: '' }
    expect(() => flowMiddleware({ ...options, env })).toThrow(
      expect.objectContaining({ code: 'flow/no-variable', message: expect.stringContaining(variable) }),
    )
  }
  expect(() => flowMiddleware({ ...options, env: { ...environment(), FLOW402X_SECRET: 'short' } })).toThrow(
    expect.objectContaining({ code: 'config/weak-secret' }),
  )
  for (const perView of ['', 'free', '-1', '0', '1e-7', Number.NaN])
    expect(() => flowMiddleware({ ...options, perView, env: environment() })).toThrow(expect.objectContaining({ code: 'flow/bad-price' }))
})

async function serving(options: FlowOptions, use: (url: string) => Promise<void>): Promise<void> {
  const app = express()
  app.use(['/film', '/other'], flowMiddleware(options))
  app.get(['/film', '/other'], (_, res) => {
    res.sendFile(join(folder, 'film.mp4'))
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  // A server that listens on a port has such an address.
  const { port } = server.address() as AddressInfo
  try {
    await use(`http://127.0.0.1:${port}/film`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** What an address has, by the chain's own word; both kinds of chain spell their addresses themselves. */
async function balance(network: 'base' | 'solana', address: string): Promise<bigint> {
  const token =
    network === 'solana'
      ? solanaTokenAdapter({ network, rpcUrl: chainOf('solana').rpcUrl })
      : evmTokenAdapter({ network, rpcUrl: chainOf('base').rpcUrl })
  return await token.getBalance(address)
}
