import { defineTokenAdapter, type TokenAdapter } from '@flow402x/core/token'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { type DirectPayment, payDirect } from './direct.ts'
import { FlowClient } from './flow-client.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev({ networks: ['base', 'solana'] })
})
afterAll(() => dev?.close())

const chains = () => {
  const [base] = dev.chains
  if (base === undefined || dev.solana === undefined) throw new TypeError('a chain is missing')
  return { base, solana: dev.solana }
}
const environment = () => ({
  FLOW402X_RPC_URL_EIP155_8453: chains().base.rpcUrl,
  FLOW402X_RPC_URL_SOLANA: chains().solana.rpcUrl,
  FLOW402X_EVM_PRIVATE_KEY: chains().base.buyer.privateKey,
  FLOW402X_SOLANA_PRIVATE_KEY: chains().solana.buyer.privateKey,
})

describe.each(['solana', 'base'] as const)('money that streams to an address on %s', (provider) => {
  it('is paid window by window, as the snippet is written', async () => {
    verifies('FLOW-API')
    const [env, recipient] = [environment(), chains()[provider].seller.address]
    const wallet = env[provider === 'solana' ? 'FLOW402X_SOLANA_PRIVATE_KEY' : 'FLOW402X_EVM_PRIVATE_KEY']
    const client = new FlowClient({ provider, token: 'USDC', wallet, env, store: memoryStore() })
    const seen: DirectPayment[] = []
    const before = await held(provider, recipient)
    const receipt = await client.payStream({ recipient, rate: 0.01, duration: 1, window: 0.5, onPayment: (payment) => seen.push(payment) })
    expect(receipt).toEqual({ paid: 10_000n, payments: seen, ended: 'whole' })
    expect(seen.map(({ window, amount }) => [window, amount])).toEqual([
      [0, 5000n],
      [1, 5000n],
    ])
    await expect.poll(async () => (await held(provider, recipient)) - before).toBe(10_000n)
  })

  it('takes its key from the environment, and names what is missing', () => {
    verifies('FLOW-API')
    expect(new FlowClient({ provider, env: environment() })).toBeInstanceOf(FlowClient)
    const needed =
      provider === 'solana'
        ? ['FLOW402X_SOLANA_PRIVATE_KEY', 'FLOW402X_RPC_URL_SOLANA']
        : ['FLOW402X_EVM_PRIVATE_KEY', 'FLOW402X_RPC_URL_EIP155_8453']
    for (const variable of needed)
      expect(() => new FlowClient({ provider, env: { ...environment(), [variable]: undefined } })).toThrow(
        expect.objectContaining({ code: 'flow/no-variable', message: expect.stringContaining(variable) }),
      )
    const other = chains()[provider === 'solana' ? 'base' : 'solana'].buyer
    expect(() => new FlowClient({ provider, env: environment(), wallet: other.privateKey })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^config\//) }),
    )
  })
})

describe('the windows of a stream', () => {
  it('are the whole to the last atomic unit, each paid when it begins', async () => {
    const { adapter, made } = paper()
    const time = clockwork()
    const receipt = await payDirect({ recipient: 'r', rate: '0.0000033', duration: 7.5, window: 2 }, adapter, time)
    // 24.75 atomic units: rounded once, and never for each window.
    expect(receipt.paid).toBe(25n)
    expect(made.map(({ amount }) => amount)).toEqual([7n, 7n, 6n, 5n])
    expect(time.times).toEqual([2000, 4000, 6000, 7500])
  })

  it('stop when they are told to, and go on where they stood under the same name', async () => {
    const { adapter, made } = paper()
    const stop = new AbortController()
    const stream = { recipient: 'r', rate: 0.01, duration: 60, id: 'film' }
    const first = await payDirect(
      { ...stream, signal: stop.signal, onPayment: ({ window }) => window === 2 && stop.abort() },
      adapter,
      clockwork(),
    )
    expect([first.ended, first.paid, first.payments.length]).toEqual(['stopped', 300_000n, 3])
    const second = await payDirect(stream, adapter, clockwork())
    expect([second.ended, second.paid]).toEqual(['whole', 600_000n])
    expect(made).toHaveLength(6)
  })

  it('end with the first that is not paid', async () => {
    verifies('FLOW-API')
    const { adapter, made } = paper(2)
    await expect(payDirect({ recipient: 'r', rate: 0.01, duration: 60 }, adapter, clockwork())).rejects.toThrow('no money')
    expect(made).toHaveLength(2)
  })

  it('are refused where they make no sense', async () => {
    const { adapter, made } = paper()
    for (const stream of [{ duration: 0 }, { duration: -1 }, { duration: Number.NaN }, { duration: 1e30 }, { window: 0 }])
      await expect(payDirect({ recipient: 'r', rate: 0.01, duration: 60, ...stream }, adapter)).rejects.toMatchObject({
        code: 'flow/bad-stream',
      })
    for (const rate of ['', 'x', 0, -1, '1,5'])
      await expect(payDirect({ recipient: 'r', rate, duration: 60 }, adapter)).rejects.toMatchObject({ code: 'flow/bad-price' })
    expect(made).toEqual([])
  })
})

it('pays each window of one name once, whatever died in between', async () => {
  verifies('TOKEN-ONCE')
  const store = memoryStore()
  const recipient = chains().base.seller.address
  const stream = { recipient, rate: 0.01, duration: 0.2, window: 0.1, id: 'concert' }
  const before = await held('base', recipient)
  for (let times = 0; times < 2; times += 1) await new FlowClient({ provider: 'base', store, env: environment() }).payStream(stream)
  expect((await held('base', recipient)) - before).toBe(2000n)
})

async function held(network: 'base' | 'solana', address: string): Promise<bigint> {
  const { evmTokenAdapter } = await import('@flow402x/adapters-evm/token')
  const { solanaTokenAdapter } = await import('@flow402x/adapters-solana/token')
  const { rpcUrl } = chains()[network]
  return await (network === 'solana' ? solanaTokenAdapter({ network, rpcUrl }) : evmTokenAdapter({ network, rpcUrl })).getBalance(address)
}

/** A token adapter of somebody's own: it writes down, and has money for so many payments. */
function paper(most = Number.POSITIVE_INFINITY): { adapter: TokenAdapter; made: { id: string | undefined; amount: bigint }[] } {
  const made: { id: string | undefined; amount: bigint }[] = []
  const adapter = defineTokenAdapter({
    network: 'eip155:8453',
    symbol: 'USDC',
    decimals: 6,
    async createPayment(_, amount, { id }) {
      const known = made.findIndex((one) => one.id === id)
      if (known >= 0) return `paper-${known}`
      if (made.length >= most) throw new TypeError('no money')
      made.push({ id, amount })
      return `paper-${made.length - 1}`
    },
    validatePayment: async () => true,
    getBalance: async () => 0n,
  })
  return { adapter, made }
}

/** Time that passes only while somebody sleeps. */
function clockwork() {
  const times: number[] = []
  let now = 0
  return {
    times,
    now: () => now,
    async sleep(ms: number) {
      now += ms
      times.push(now)
    },
  }
}
