import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { send } from '@flow402x/testing/suites'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { sampleVideo } from '../dev/sample-video.ts'
import { FlowClient } from './flow-client.ts'
import { type FlowOptions, flowMiddleware } from './flow-middleware.ts'

let dev: Dev
let folder: string
let video: Uint8Array
beforeAll(async () => {
  dev = await startDev({ networks: ['base', 'solana'] })
  folder = await mkdtemp(join(tmpdir(), 'flow402x-second-'))
  video = await sampleVideo({ seconds: 4 })
  await writeFile(join(folder, 'stream.mp4'), video)
})
afterAll(async () => {
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
  FLOW402X_EVM_PRIVATE_KEY: chainOf('base').buyer.privateKey,
  FLOW402X_SOLANA_PRIVATE_KEY: chainOf('solana').buyer.privateKey,
})

describe.each(['base', 'solana'] as const)('a video by the second on %s', (network) => {
  it('is sold and bought as the snippets are written: the whole costs its seconds', async () => {
    verifies('FLOW-API')
    const events: unknown[] = []
    const store = memoryStore()
    const recipient = chainOf(network).seller.address
    await serving(
      { rate: '0.01', token: 'USDC', network, recipient, env: environment(), store, onStream: (event) => events.push(event) },
      async (url) => {
        const asked = await fetch(url)
        expect(asked.status).toBe(402)
        expect(
          Object.fromEntries(
            ['payment-address', 'payment-rate', 'payment-token', 'network'].map((name) => [name, asked.headers.get(name)]),
          ),
        ).toEqual({
          'payment-address': recipient,
          'payment-rate': '0.01 USD/second',
          'payment-token': 'USDC',
          network: network === 'base' ? 'Base' : 'Solana',
        })
        // As an address is opened: what a script fetches is no visit, whatever it accepts.
        const shown = await send(url, { headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' } })
        expect([shown.status, shown.headers['content-type']]).toEqual([402, ['text/html; charset=utf-8']])
        expect(shown.body.toString()).toContain('<strong>$0.01</strong> per second')
        const client = new FlowClient({ provider: network, token: 'USDC', env: environment(), store: memoryStore(), maxDeposit: '$7' })
        const stream = await client.payStream({ url, rate: 0.01, duration: 60 })
        expect([stream.grade, stream.response.headers.get('content-type')]).toEqual(['B', 'video/mp4'])
        const chunks: Uint8Array[] = []
        const begun = performance.now()
        for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk)
        expect(Buffer.concat(chunks).equals(video)).toBe(true)
        // Four seconds take four seconds, but for what runs ahead.
        expect(performance.now() - begun).toBeGreaterThan(3000)
        await expect.poll(() => events.filter((event) => isEnd(event))).toHaveLength(1)
        expect(events.find((event) => isEnd(event))).toMatchObject({ used: 40_000n, reason: 'end of content' })
        const receipt = await stream.receipt
        expect(receipt.signed).toBeGreaterThanOrEqual(40_000n)
        expect(receipt.signed).toBeLessThanOrEqual(65_000n)
      },
    )
  })

  it('stops with its reader, who has paid what he saw and no second more', async () => {
    verifies('FLOW-API')
    const events: { type: string; used?: bigint }[] = []
    const recipient = chainOf(network).seller.address
    await serving(
      { rate: 0.01, token: 'USDC', network, recipient, env: environment(), store: memoryStore(), onStream: (event) => events.push(event) },
      async (url) => {
        const client = new FlowClient({ provider: network, env: environment(), store: memoryStore(), maxDeposit: '$7' })
        const stream = await client.payStream({ url, duration: 1 })
        let bytes = 0
        for await (const chunk of stream) if (chunk instanceof Uint8Array) bytes += chunk.length
        const { signed } = await stream.receipt
        expect(signed).toBeLessThanOrEqual(10_000n)
        expect(bytes).toBeLessThanOrEqual(video.length / 4 + 1)
        expect(bytes).toBeGreaterThan(0)
        await expect.poll(() => events.find(isEnd)).toBeDefined()
        const used = events.find(isEnd)?.used ?? 0n
        expect(used).toBeLessThanOrEqual(10_000n)
        // What was charged is what its bytes last, rounded once.
        expect(Number(used)).toBeGreaterThanOrEqual(Math.floor((bytes / video.length) * 40_000))
      },
    )
  })
})

it('pays nothing where more is asked than was agreed to', async () => {
  const recipient = chainOf('base').seller.address
  await serving({ rate: '0.02', token: 'USDC', network: 'base', recipient, env: environment(), store: memoryStore() }, async (url) => {
    const client = new FlowClient({ provider: 'base', env: environment(), store: memoryStore() })
    await expect(client.payStream({ url, rate: 0.01, duration: 60 })).rejects.toMatchObject({
      code: 'flow/bad-stream',
      message: expect.stringContaining('0.02 USD/second'),
    })
  })
})

it('names what is missing or makes no sense, at once', () => {
  verifies('FLOW-API')
  const options = { token: 'USDC', network: 'base', recipient: chainOf('base').seller.address, env: environment(), store: memoryStore() }
  for (const price of [{}, { rate: '0.01', perView: '0.5' }, { rate: 'free' }, { rate: -1 }, { rate: 0 }])
    expect(() => flowMiddleware({ ...options, ...price })).toThrow(expect.objectContaining({ code: 'flow/bad-price' }))
  expect(() => flowMiddleware({ ...options, rate: '0.01', env: { ...environment(), FLOW402X_FACILITATOR_URL: undefined } })).toThrow(
    /FLOW402X_FACILITATOR_URL/,
  )
})

const isEnd = (event: unknown): boolean => typeof event === 'object' && event !== null && 'type' in event && event.type === 'laneEnded'

async function serving(options: FlowOptions, use: (url: string) => Promise<void>): Promise<void> {
  const app = express()
  app.use('/premium-stream', flowMiddleware(options))
  app.get('/premium-stream', (_, res) => {
    res.sendFile(join(folder, 'stream.mp4'))
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  // A server that listens on a port has such an address.
  const { port } = server.address() as AddressInfo
  try {
    await use(`http://127.0.0.1:${port}/premium-stream`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}
