import { createBazaarClient } from '@flow402x/bazaar/client'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FlowClient } from '../stream/flow-client.ts'
import { type Dev, startDev } from './dev.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev()
})
afterAll(() => dev?.close())

const buyer = (provider: 'base-sepolia' | 'solana-devnet') => {
  const [evm] = dev.chains
  const chain = provider === 'base-sepolia' ? evm : dev.solana
  if (chain === undefined) throw new TypeError('a chain is missing')
  const env = { FLOW402X_RPC_URL_EIP155_84532: chain.rpcUrl, FLOW402X_RPC_URL_SOLANA_DEVNET: chain.rpcUrl }
  return new FlowClient({ provider, wallet: `${chain.buyer.privateKey}`, env, store: memoryStore(), maxDeposit: '$7' })
}

it('lists a video by the second and a chat by the token, on every chain', () => {
  verifies('FLOW-API')
  const { routes } = dev.world.seller
  const listed = routes.filter(({ price }) => price.includes('/')).map(({ path, price, scheme }) => [path, price, scheme])
  expect(listed).toEqual([
    ['/video.mp4', '$0.01/second', 'batch-settlement'],
    ['/chat', '$0.0001/token', 'batch-settlement'],
    ['/video.mp4', '$0.01/second', 'flow402x-nonce'],
    ['/chat', '$0.0001/token', 'flow402x-nonce'],
  ])
})

it('lists them in its bazaar by their rates', async () => {
  verifies('FLOW-API')
  const rates: unknown[] = []
  for await (const { resource, serviceName, stream } of createBazaarClient({ url: dev.world.bazaar.url }).list({ healthy: true }))
    if (stream != null) rates.push([new URL(resource).pathname, serviceName, stream.rate])
  expect(rates.sort()).toEqual([
    ['/chat', 'Sample chat', '0.0001 USD/token'],
    ['/video.mp4', 'Sample video', '0.01 USD/second'],
  ])
})

describe.each(['base-sepolia', 'solana-devnet'] as const)('on %s', (provider) => {
  it('chats as long as it is paid', async () => {
    const stream = await buyer(provider).payStream({ url: `${dev.world.seller.url}/chat?prompt=a+fox,a+coin,the+sea` })
    const words: string[] = []
    for await (const chunk of stream) if (typeof chunk === 'object' && 'data' in chunk) words.push(chunk.data)
    const { consumed } = await stream.receipt
    expect(words.join('')).toContain('near the sea, a fox found a coin.')
    // A hundred atomic units for each word.
    expect(consumed).toBe(BigInt(words.length) * 100n)
  })

  it('shows a video as long as it is paid', async () => {
    const stream = await buyer(provider).payStream({ url: `${dev.world.seller.url}/video.mp4`, duration: 1 })
    let bytes = 0
    for await (const chunk of stream) if (chunk instanceof Uint8Array) bytes += chunk.length
    expect(bytes).toBeGreaterThan(0)
    expect((await stream.receipt).signed).toBeLessThanOrEqual(10_000n)
  })
})
