import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Call } from '@flow402x/core'
import { isX402Error } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { whenMined } from '@flow402x/testing/suites'
import { encodeFunctionData, getAddress, parseAbi, parseTransaction } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { type EvmChainOptions, evmChain } from '../facilitator.ts'

let local: LocalChain
let call: Call
const secret = `0x${'5e'.repeat(32)}`

beforeAll(async () => {
  local = await startEvmChain()
  const data = encodeFunctionData({ abi: parseAbi(['function approve(address spender, uint256 value)']), args: [local.seller.address, 1n] })
  call = { target: local.usdc.address, data, gas: 1_000_000n, alone: false }
})
afterAll(() => local.stop())

const connect = (options: Partial<EvmChainOptions> = {}) =>
  evmChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey], ...options })

async function signNext(chain: ReturnType<typeof evmChain>, calls: readonly Call[]) {
  const [signer = ''] = chain.signers
  return chain.sign(calls, { signer, nonce: await chain.nonce(signer) })
}

describe('signing and sending', () => {
  test('one call goes straight to its target', async () => {
    const chain = connect()
    const signed = await signNext(chain, [call])
    expect(parseTransaction(hex(signed.bytes))).toMatchObject({
      type: 'eip1559',
      chainId: 84532,
      to: local.usdc.address.toLowerCase(),
      data: call.data,
    })
    expect(await chain.status(signed)).toEqual({ state: 'unknown' })
    await chain.send(signed)
    const { status } = await whenMined(chain, signed)
    expect(status).toMatchObject({ state: 'mined', success: true, logs: [{ address: local.usdc.address.toLowerCase() }] })
  })

  test('several go through Multicall3, each failing by itself', async () => {
    const chain = connect()
    const broken = { ...call, data: '0xdeadbeef', alone: true }
    const signed = await signNext(chain, [call, broken, call])
    await chain.send(signed)
    const { status } = await whenMined(chain, signed)
    expect(status).toMatchObject({ state: 'mined', success: true })
    expect(status.state === 'mined' && status.logs.length).toBe(2)
  })

  test('bytes that are sent again are no error, neither in the pool nor when mined', async () => {
    const chain = connect()
    await local.rpc('evm_setAutomine', [false])
    const signed = await signNext(chain, [call])
    await chain.send(signed)
    await chain.send(signed)
    await local.rpc('evm_setAutomine', [true])
    await local.mine()
    await chain.send(signed)
    await expect.poll(() => chain.status(signed)).toMatchObject({ state: 'mined', success: true })
  })

  test('other bytes with a nonce that is gone are refused, and money has not moved', async () => {
    const chain = connect()
    const [signer = ''] = chain.signers
    const nonce = await chain.nonce(signer)
    await chain.send(await chain.sign([call], { signer, nonce }))
    const other = await chain.sign([{ ...call, data: `${call.data.slice(0, -1)}2` }], { signer, nonce })
    await expect(chain.send(other)).rejects.toMatchObject({ code: 'evm/refused', moneyMoved: 'no' })
  })

  test('when the connection breaks, money may have moved', async () => {
    const chain = connect()
    const signed = await signNext(chain, [call])
    const broken = connect({ fetch: () => Promise.reject(new TypeError('cut')) })
    await expect(broken.send(signed)).rejects.toMatchObject({ code: 'evm/broadcast-unknown', moneyMoved: 'unknown', retry: 'same' })
  })

  test.each<[string, (local: LocalChain) => EvmChainOptions['signers']]>([
    ['viem account', (chain) => [privateKeyToAccount(chain.facilitator.privateKey)]],
    [
      'account that only signs transactions',
      (chain) => {
        const { address, signTransaction } = privateKeyToAccount(chain.facilitator.privateKey)
        return [{ address, signTransaction }]
      },
    ],
  ])('a %s makes the same bytes as its key', async (_, signers) => {
    const [signer = ''] = connect().signers
    const options = { signer, nonce: await connect().nonce(signer) }
    const fees = { maxFeePerGas: 3_000_000_000n }
    const ours = await connect({ fees }).sign([call], options)
    const theirs = await connect({ fees, signers: signers(local) }).sign([call], options)
    expect(theirs).toEqual(ours)
  })

  test('nothing is signed for a stranger, and nothing for no call', async () => {
    const chain = connect()
    await expect(chain.sign([call], { signer: local.buyer.address, nonce: 0n })).rejects.toMatchObject({ code: 'evm/unknown-signer' })
    await expect(signNext(chain, [])).rejects.toMatchObject({ code: 'evm/nothing-to-send' })
  })
})

describe('finality', () => {
  test('is a depth that suits the network, the one that is told, or the word of the node', async () => {
    verifies('M17')
    const young = await startEvmChain()
    try {
      const { rpcUrl } = young
      expect(await connect({ rpcUrl, confirmations: 1000n }).final()).toBe(-1n)
      await young.mine(100)
      const head = BigInt(String(await young.rpc('eth_blockNumber')))
      expect(await connect({ rpcUrl }).final()).toBe(head - 12n)
      expect(await connect({ rpcUrl, confirmations: 0n }).final()).toBe(head)
      expect(await connect({ rpcUrl, network: 'polygon' }).final()).toBe(head - 64n)
      const named = z.object({ number: z.string() }).parse(await young.rpc('eth_getBlockByNumber', ['finalized', false]))
      expect(await connect({ rpcUrl, confirmations: 'finalized' }).final()).toBe(BigInt(named.number))
    } finally {
      await young.stop()
    }
  })

  test('a nonce is used for good when its block is final', async () => {
    const chain = connect({ confirmations: 3n })
    const [signer = ''] = chain.signers
    const after = async () => [await chain.nonce(signer, { after: 'mined' }), await chain.nonce(signer, { after: 'final' })]
    const nonce = await chain.nonce(signer)
    await local.mine(5)
    expect(await after()).toEqual([nonce, nonce])
    await chain.send(await signNext(chain, [call]))
    await expect.poll(after).toEqual([nonce + 1n, nonce])
    await local.mine(3)
    await expect.poll(after).toEqual([nonce + 1n, nonce + 1n])
    expect(await connect({ confirmations: 1_000_000n }).nonce(signer, { after: 'final' })).toBe(0n)
  })
})

describe('what it may cost', () => {
  test('nothing is sent above the fee cap', async () => {
    await expect(signNext(connect({ fees: { maxFeePerGas: 1n } }), [call])).rejects.toMatchObject({
      code: 'evm/fee-cap',
      moneyMoved: 'no',
      retry: 'same',
    })
  })

  test('nothing is sent above the gas cap, and the limit never passes it', async () => {
    await expect(signNext(connect(), [{ ...call, gas: 21_000n }])).rejects.toMatchObject({ code: 'evm/gas-cap', moneyMoved: 'no' })
    const tight = await signNext(connect(), [{ ...call, gas: 70_000n }])
    expect(parseTransaction(hex(tight.bytes)).gas).toBe(70_000n)
  })

  test('a call that would revert is not sent', async () => {
    const broken = { ...call, data: '0xdeadbeef' }
    await expect(signNext(connect(), [broken])).rejects.toMatchObject({ code: 'evm/would-revert', moneyMoved: 'no', retry: 'never' })
  })

  // What geth says of a sender that can pay 12,000 gas, and of a call that burns all that the node allows.
  test.each([
    ['evm/no-gas-money', 'gas required exceeds allowance (12000)'],
    ['evm/no-gas-money', 'insufficient funds for gas * price + value'],
    ['evm/would-revert', 'gas required exceeds allowance (50000000)'],
    ['evm/would-revert', 'execution reverted'],
  ])('%s where the node says "%s"', async (code, message) => {
    const node: typeof fetch = (input, init) =>
      String(init?.body).includes('eth_estimateGas')
        ? Promise.resolve(Response.json({ error: { code: -32000, message } }))
        : fetch(input, init)
    await expect(signNext(connect({ fetch: node }), [call])).rejects.toMatchObject({ code, moneyMoved: 'no' })
  })

  test('a signer without coins is told so', async () => {
    const chain = connect({ signers: [secret] })
    await expect(signNext(chain, [call])).rejects.toMatchObject({ code: 'evm/no-gas-money', context: { address: chain.signers[0] } })
  })
})

describe('signers', () => {
  test.each<[string, EvmChainOptions['signers']]>([
    ['config/no-signer', []],
    ['config/bad-private-key', ['0x12']],
    ['config/bad-address', [{ address: 'me', sign: async () => '0x' }]],
    ['config/no-signer', [{ address: `0x${'12'.repeat(20)}` }]],
    ['config/no-signer', [secret, privateKeyToAccount(hex(secret))]],
  ])('%s', (code, signers) => {
    expect(errorOf(() => connect({ signers }))?.code).toBe(code)
  })

  test('a real key is refused on a local chain that bears a mainnet’s id, and only there', () => {
    const mainnet = { network: 'base', signers: [secret] }
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '127.8.8.8', '0.0.0.0', 'chain.localhost', '[::ffff:127.0.0.1]']) {
      const error = errorOf(() => connect({ ...mainnet, rpcUrl: `http://${host}:8545` }))
      expect(error?.code).toBe('config/unsafe-local-key')
      expect(JSON.stringify([error, String(error)])).not.toContain('5e5e')
    }
    expect(errorOf(() => connect({ ...mainnet, network: 'eip155:777777', rpcUrl: 'http://localhost' }))?.code).toBe(
      'config/unsafe-local-key',
    )
    expect(errorOf(() => connect({ ...mainnet, signers: [local.facilitator.privateKey] }))).toBeUndefined()
    expect(errorOf(() => connect({ ...mainnet, rpcUrl: 'https://rpc.example' }))).toBeUndefined()
    expect(errorOf(() => connect({ ...mainnet, network: 'eip155:31337' }))).toBeUndefined()
    expect(errorOf(() => connect({ ...mainnet, network: 'base-sepolia' }))).toBeUndefined()
  })

  test('are told by their checksummed addresses, and the curve by its name', () => {
    const chain = connect({ signers: [local.facilitator.privateKey, local.owner.privateKey] })
    expect(chain.signers).toEqual([local.facilitator.address, local.owner.address])
    expect(['native', 'noble']).toContain(chain.crypto)
  })
})

describe('the RPC', () => {
  test('of another chain is refused at start', async () => {
    await expect(connect({ network: 'base' }).start()).rejects.toMatchObject({ code: 'config/wrong-chain', context: { answered: '84532' } })
    await connect().start()
  })

  test('without Multicall3 is refused by name', async () => {
    const bare = await startEvmChain()
    try {
      await bare.rpc('anvil_setCode', ['0xcA11bde05977b3631167028862bE2a173976CA11', '0x'])
      const read = connect({ rpcUrl: bare.rpcUrl }).read([{ target: getAddress(bare.usdc.address), data: '0x3644e515' }])
      await expect(read).rejects.toMatchObject({ code: 'config/no-multicall' })
    } finally {
      await bare.stop()
    }
  })

  test.each<[string, string, (request: IncomingMessage, response: ServerResponse) => void]>([
    ['evm/rpc', 'text', (_, response) => response.end('hello')],
    ['evm/rpc', 'another shape', (_, response) => response.end('{"jsonrpc":"2.0","id":1,"result":7}')],
    ['evm/rpc', 'neither result nor error', (_, response) => response.writeHead(503).end('{"message":"try later"}')],
    ['evm/rpc', 'no object', (_, response) => response.end('[]')],
    ['evm/rpc', 'a broken connection', (request) => request.socket.destroy()],
    ['evm/rpc', 'nothing in time', () => {}],
    ['evm/call-failed', 'an error', (_, response) => response.writeHead(429).end('{"error":{"code":-32005,"message":"slow down"}}')],
  ])('%s when it answers with %s, without its path in the error', async (code, _, answer) => {
    const server = createServer(answer)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    // A listening TCP server has an address with a port.
    const { port } = server.address() as AddressInfo
    const error = await connect({ rpcUrl: `http://127.0.0.1:${port}/v2/api-key`, timeoutMs: 300 })
      .start()
      .catch((thrown: unknown) => thrown)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    expect(error).toMatchObject({ code, status: 503, moneyMoved: 'no', context: { host: `127.0.0.1:${port}` } })
    expect(JSON.stringify([error, String(error)])).not.toContain('api-key')
  })

  test('a gateway’s empty answer is not read as "no such transaction"', async () => {
    const gateway = connect({ fetch: async () => Response.json({ message: 'try later' }, { status: 429 }) })
    await expect(gateway.status({ transaction: `0x${'11'.repeat(32)}` })).rejects.toMatchObject({ code: 'evm/rpc' })
    const signed = await signNext(connect(), [call])
    await expect(gateway.send(signed)).rejects.toMatchObject({ code: 'evm/broadcast-unknown', moneyMoved: 'unknown' })
  })

  test.each(['', 'localhost:8545', 'ws://127.0.0.1:8545', 'not a url'])('"%s" is refused at creation', (rpcUrl) => {
    expect(errorOf(() => connect({ rpcUrl }))?.code).toBe('config/bad-rpc-url')
  })

  test('an abort gives the signal’s reason', async () => {
    const reason = new Error('gone')
    await expect(connect().start({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

function hex(text: string): `0x${string}` {
  return `0x${text.slice(2)}`
}

function errorOf(run: () => unknown) {
  try {
    run()
    return undefined
  } catch (error) {
    if (isX402Error(error)) return error
    throw error
  }
}
