import { type Asset, assetOf, X402Error } from '@flow402x/core'
import { memoryLedger } from '@flow402x/core/memory'
import { type EvmChain, multicall3Address, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { encodeFunctionData, getAddress, type Hex, parseAbi } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { hexSchema } from '../chain/abi.ts'
import { type EvmTokenAdapterOptions, evmTokenAdapter } from '../token.ts'

let local: EvmChain
beforeAll(async () => {
  local = await startEvmChain()
})
afterAll(() => local?.stop())

const confirmations = 3n
const adapterOf = (options: Partial<EvmTokenAdapterOptions> = {}) => {
  const { network, rpcUrl, buyer } = local
  return evmTokenAdapter({ network, rpcUrl, signer: buyer.privateKey, confirmations, pollMs: 20, waitMs: 2000, ...options })
}
const abi = parseAbi([
  'function transfer(address to, uint256 value)',
  'function approve(address spender, uint256 value)',
  'function transferFrom(address from, address to, uint256 value)',
  'function aggregate3((address target, bool allowFailure, bytes callData)[] calls)',
])
const receipt = z.looseObject({ transactionHash: hexSchema })

/** A transaction of anybody's, mined and deep. */
async function send(transaction: { from: string; to: string; data?: Hex; value?: bigint }): Promise<Hex> {
  await local.rpc('anvil_impersonateAccount', [transaction.from])
  const { transactionHash } = receipt.parse(await local.rpc('eth_sendTransactionSync', [transaction]))
  await local.mine(Number(confirmations))
  return transactionHash
}

const earned = async (call: () => Promise<unknown>) => {
  const before = await local.balanceOf(local.seller.address)
  await call()
  return (await local.balanceOf(local.seller.address)) - before
}

/** A connection that fails at one method: before the request has left, or after the node has done it. */
function broken(method: string, at: 'request' | 'answer'): typeof fetch {
  return async (input, init) => {
    const isMeant = typeof init?.body === 'string' && init.body.includes(`"${method}"`)
    if (isMeant && at === 'request') throw new TypeError('cut')
    const response = await fetch(input, init)
    if (isMeant) throw new TypeError('cut')
    return response
  }
}

describe('a recipient', () => {
  it.each([
    ['nobody', () => `0x${'0'.repeat(40)}`],
    ['a precompiled function', () => `0x${'0'.repeat(39)}4`],
    ['the sender himself', () => local.buyer.address],
    ['the token', () => local.usdc.address],
    ['the coin’s own name', () => assetOf(local.network, 'ETH').address],
    ['an address with a letter in the wrong case', () => local.seller.address.replace(/[a-f]/, (letter) => letter.toUpperCase())],
    ['a short address', () => local.seller.address.slice(0, -2)],
    ['an address of Solana', () => 'CqMbRgMuEhQi9BUS8xP44Wk5nENm48FqJnfjEi4eNb1k'],
  ])('that cannot be meant is refused: %s', async (_, recipient) => {
    for (const asset of ['USDC', 'ETH'])
      await expect(adapterOf({ asset }).createPayment(recipient(), '0.01')).rejects.toMatchObject({
        code: 'token/bad-recipient',
        moneyMoved: 'no',
      })
  })

  it('may be written in any one case', async () => {
    const adapter = adapterOf()
    const small = local.seller.address.toLowerCase()
    const units = await earned(async () => {
      await adapter.createPayment(small, '0.01', { id: 'one spelling' })
      await adapter.createPayment(getAddress(small), '0.01', { id: 'one spelling' })
    })
    expect(units).toBe(10_000n)
  })

  it('that takes no coins is not sent any', async () => {
    const adapter = adapterOf({ asset: 'ETH' })
    await expect(adapter.createPayment(local.contracts.batchSettlement, '1')).rejects.toMatchObject({ moneyMoved: 'no' })
  })
})

describe('a payment', () => {
  it('in a token that keeps a part on the way is no payment of the whole', async () => {
    verifies('TOKEN-VALID')
    const asset: Asset = { network: local.network, address: placed, symbol: 'FEE', decimals: 6, transfer: 'permit2', permit: false }
    await local.rpc('anvil_setCode', [placed, takesOneUnit])
    const adapter = adapterOf({ asset })
    const transaction = await adapter.createPayment(local.seller.address, 100n)
    await local.mine(3)
    expect(await adapter.validatePayment(transaction, { recipient: local.seller.address, amount: 100n })).toBe(false)
    expect(await adapter.validatePayment(transaction, { recipient: local.seller.address, amount: 99n })).toBe(true)
  })

  it('that a contract made is one by what arrived, and what came and went is none', async () => {
    verifies('TOKEN-VALID')
    const { buyer, seller, usdc } = local
    const move = (from: string, to: string) => ({
      target: usdc.address,
      allowFailure: false,
      callData: encodeFunctionData({ abi, functionName: 'transferFrom', args: [getAddress(from), getAddress(to), 50n] }),
    })
    const allow = encodeFunctionData({ abi, functionName: 'approve', args: [multicall3Address, 10_000n] })
    for (const from of [buyer.address, seller.address]) await send({ from, to: usdc.address, data: allow })
    const bundle = (...calls: ReturnType<typeof move>[]) =>
      send({ from: buyer.address, to: multicall3Address, data: encodeFunctionData({ abi, functionName: 'aggregate3', args: [calls] }) })
    const once = await bundle(move(buyer.address, seller.address))
    const back = await bundle(move(buyer.address, seller.address), move(seller.address, buyer.address))
    const twice = await bundle(move(buyer.address, seller.address), move(buyer.address, seller.address))
    const adapter = adapterOf({ payTo: seller.address })
    expect(await adapter.validatePayment(once, { amount: 50n, sender: buyer.address })).toBe(true)
    expect(await adapter.validatePayment(back, { amount: 50n })).toBe(false)
    expect(await adapter.validatePayment(back)).toBe(false)
    expect(await adapter.validatePayment(twice, { amount: 50n })).toBe(false)
    expect(await adapter.validatePayment(twice, { amount: 100n })).toBe(true)
  })

  it('of another token, of coins, or that failed, is none of this token', async () => {
    verifies('TOKEN-VALID')
    const { buyer, seller, usdc } = local
    await local.rpc('anvil_setCode', [placed, takesOneUnit])
    const data = encodeFunctionData({ abi, functionName: 'transfer', args: [seller.address, 51n] })
    const lookalike = await send({ from: buyer.address, to: placed, data })
    const coins = await send({ from: buyer.address, to: seller.address, value: 50n })
    const tooMuch = encodeFunctionData({ abi, functionName: 'transfer', args: [seller.address, 10n ** 20n] })
    await local.rpc('anvil_impersonateAccount', [buyer.address])
    const failing = { from: buyer.address, to: usdc.address, data: tooMuch, gas: 100_000n }
    const failed = receipt.parse(await local.rpc('eth_sendTransactionSync', [failing])).transactionHash
    await local.mine(3)
    for (const transaction of [lookalike, coins, failed])
      expect(await adapterOf().validatePayment(transaction, { recipient: seller.address })).toBe(false)
    expect(await adapterOf({ asset: 'ETH' }).validatePayment(coins, { recipient: seller.address, amount: 50n })).toBe(true)
  })

  it('is not valid before it is deep, and never when a reorg took it away', async () => {
    verifies('TOKEN-VALID')
    const adapter = adapterOf({ waitMs: 100 })
    const expected = { recipient: local.seller.address, amount: '0.01' }
    const transaction = await adapter.createPayment(local.seller.address, '0.01')
    await expect(adapter.validatePayment(transaction, expected)).rejects.toMatchObject({ code: 'token/unconfirmed' })
    await local.rpc('anvil_rollback', [1])
    await local.rpc('anvil_dropTransaction', [transaction])
    await local.mine(5)
    expect(await adapter.validatePayment(transaction, expected)).toBe(false)
  })

  it('on another chain than is named is not looked for', async () => {
    const wrong = adapterOf({ network: 'eip155:421614' })
    const transaction = `0x${'12'.repeat(32)}`
    for (const call of [
      () => wrong.validatePayment(transaction, { recipient: local.seller.address }),
      () => wrong.getBalance(local.seller.address),
      () => wrong.createPayment(local.seller.address, '0.01'),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'config/wrong-chain', moneyMoved: 'no' })
  })

  it('is looked for anew where a node is behind', async () => {
    const transaction = await adapterOf().createPayment(local.seller.address, '0.01')
    await local.mine(3)
    let late = 3
    const lagging: typeof fetch = async (input, init) => {
      const isMeant = typeof init?.body === 'string' && init.body.includes('eth_getTransactionByHash')
      if (!isMeant || late === 0) return fetch(input, init)
      late -= 1
      return Response.json({ jsonrpc: '2.0', id: 1, result: null })
    }
    const adapter = adapterOf({ fetch: lagging })
    expect(await adapter.validatePayment(transaction, { recipient: local.seller.address, amount: '0.01' })).toBe(true)
    expect(late).toBe(0)
  })
})

describe('a payment that is cut off', () => {
  const paid = async (first: Partial<EvmTokenAdapterOptions>, between: () => Promise<unknown> = async () => {}) => {
    const [store, id] = [{ ledger: memoryLedger(86_400_000) }, crypto.randomUUID()]
    const adapter = adapterOf({ store, waitMs: 100, ...first })
    const told: { failure?: unknown; transaction?: string; again?: string } = {}
    const units = await earned(async () => {
      try {
        told.transaction = await adapter.createPayment(local.seller.address, '0.03', { id })
      } catch (failure) {
        told.failure = failure
      }
      await between()
      told.again = await adapterOf({ store }).createPayment(local.seller.address, '0.03', { id })
    })
    return { units, ...told }
  }

  it.each([
    ['before its bytes left', broken('eth_sendRawTransaction', 'request')],
    ['after its bytes arrived, and before anybody heard of it', broken('eth_getTransactionReceipt', 'answer')],
  ])('%s says that it may have moved, and is finished with the same bytes', async (_, connection) => {
    verifies('TOKEN-ONCE')
    const { units, failure, again } = await paid({ fetch: connection })
    expect(failure).toMatchObject({ code: 'token/pending', moneyMoved: 'unknown', retry: 'same' })
    expect(failure).toMatchObject({ context: { transaction: again } })
    expect(units).toBe(30_000n)
  })

  it('is no failure where the node did what it was not heard to', async () => {
    verifies('TOKEN-ONCE')
    const { units, failure, transaction, again } = await paid({ fetch: broken('eth_sendRawTransaction', 'answer'), waitMs: 2000 })
    expect({ units, failure, again }).toEqual({ units: 30_000n, failure: undefined, again: transaction })
  })

  it('is made anew only once another transaction has its nonce for good', async () => {
    verifies('TOKEN-ONCE')
    const [store, id] = [{ ledger: memoryLedger(86_400_000) }, crypto.randomUUID()]
    const pay = (options: Partial<EvmTokenAdapterOptions> = {}) =>
      adapterOf({ store, waitMs: 100, ...options }).createPayment(local.seller.address, '0.03', { id })
    const units = await earned(async () => {
      await expect(pay({ fetch: broken('eth_sendRawTransaction', 'request') })).rejects.toMatchObject({ code: 'token/pending' })
      // The wallet's owner sends something else, with the nonce that the lost bytes have.
      await adapterOf().createPayment(local.owner.address, '0.01')
      await expect(pay()).rejects.toMatchObject({ code: 'token/pending', moneyMoved: 'unknown' })
      await local.mine(3)
      expect(await pay()).toMatch(/^0x/)
      expect(await pay()).toMatch(/^0x/)
    })
    expect(units).toBe(30_000n)
  })

  it('by its caller says what became of it', async () => {
    const leaving = new AbortController()
    const connection: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (typeof init?.body === 'string' && init.body.includes('eth_sendRawTransaction')) leaving.abort()
      return response
    }
    const adapter = adapterOf({ fetch: connection })
    const id = crypto.randomUUID()
    const failure = await adapter
      .createPayment(local.seller.address, '0.01', { id, signal: leaving.signal })
      .catch((error: unknown) => error)
    // It was mined by then, or it was not: nothing else may be said.
    if (failure instanceof X402Error) expect(failure).toMatchObject({ code: 'token/pending', moneyMoved: 'unknown' })
    else expect(failure).toMatch(/^0x/)
  })
})

describe('one wallet', () => {
  it('used by several at once pays each payment once', async () => {
    verifies('TOKEN-ONCE')
    const store = { ledger: memoryLedger(86_400_000) }
    const all = await Promise.allSettled(
      [0, 1, 2, 3].map((at) => adapterOf({ store }).createPayment(local.seller.address, BigInt(1000 + at), { id: `several ${at}` })),
    )
    const done = await Promise.all([0, 1, 2, 3].map((at) => finished(store, at)))
    expect(new Set(done).size).toBe(4)
    for (const [at, one] of all.entries()) if (one.status === 'fulfilled') expect(one.value).toBe(done[at])
    await local.mine(3)
    for (const [at, transaction] of done.entries())
      expect(await adapterOf().validatePayment(transaction ?? '', { recipient: local.seller.address, amount: BigInt(1000 + at) })).toBe(
        true,
      )

    async function finished(kept: typeof store, at: number): Promise<string> {
      for (;;) {
        const again = adapterOf({ store: kept }).createPayment(local.seller.address, BigInt(1000 + at), { id: `several ${at}` })
        const outcome = await again.catch(() => undefined)
        if (outcome !== undefined) return outcome
      }
    }
  })

  it('without anything says so, and a real key pays nothing on a local chain of a mainnet', async () => {
    const poor = adapterOf({ signer: `0x${'5e'.repeat(32)}` })
    await expect(poor.createPayment(local.seller.address, '1')).rejects.toMatchObject({
      code: 'token/insufficient',
      context: { held: '0 USDC', needed: '1 USDC' },
    })
    const unsafe = () => adapterOf({ network: 'base', signer: `0x${'5e'.repeat(32)}` })
    expect(unsafe).toThrow(expect.objectContaining({ code: 'config/unsafe-local-key' }))
  })
})

const placed = '0x00000000000000000000000000000000000Fee00'.toLowerCase()

/**
 * A token of which `transfer` tells one unit less than it was asked to move, and everybody holds 2^200: selector, either the answer to
 * `balanceOf`, or the event with what arrived.
 */
const takesOneUnit = [
  '0x60003560e01c63a9059cbb14601c57',
  '600160c81b60005260206000f3',
  '5b600160243503600052600435337f',
  'ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef',
  '60206000a3600160005260206000f3',
].join('')
