import { findAsset } from '@flow402x/core'
import { type EvmChain, multicall3Address, startEvmChain } from '@flow402x/testing'
import { encodeFunctionData, type Hex, parseAbi } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { hexSchema } from '../chain/abi.ts'
import { httpRpc } from '../chain/rpc.ts'
import { coinTransfer, confirmationsOf, minedAt, readMined, tokenTransfer, transfersOf } from './moved.ts'

let local: EvmChain
const dai = findAsset('eip155:1', 'DAI')?.address ?? ''
const abi = parseAbi([
  'function transfer(address to, uint256 value)',
  'function approve(address spender, uint256 value)',
  'function transferFrom(address from, address to, uint256 value)',
  'function aggregate3((address target, bool allowFailure, bytes callData)[] calls)',
])

beforeAll(async () => {
  local = await startEvmChain({ network: 'ethereum' })
})
afterAll(() => local?.stop())

const asking = () => ({ rpc: httpRpc({ url: local.rpcUrl, fetch, timeoutMs: 5000 }) })
const receipt = z.looseObject({ transactionHash: hexSchema })
const lower = (address: string) => address.toLowerCase()

async function send(transaction: { from: string; to?: string; data?: Hex; value?: bigint; gas?: bigint }) {
  await local.rpc('anvil_impersonateAccount', [transaction.from])
  const { transactionHash } = receipt.parse(await local.rpc('eth_sendTransactionSync', [transaction]))
  const mined = await readMined(asking(), transactionHash)
  if (mined === undefined) throw new TypeError('it is not mined')
  return mined
}

const transfer = (amount: bigint) => encodeFunctionData({ abi, functionName: 'transfer', args: [local.seller.address, amount] })

describe('a mined transaction', () => {
  it('tells a transfer of a token, with what trails it', async () => {
    const { buyer, seller, usdc } = local
    const mined = await send({ from: buyer.address, to: usdc.address, data: `${transfer(1_234n)}c0ffee` })
    expect(tokenTransfer(mined, usdc.address)).toEqual({
      from: lower(buyer.address),
      to: lower(seller.address),
      amount: 1_234n,
      trailing: '0xc0ffee',
      logIndex: 0,
    })
    expect(transfersOf(mined.logs, usdc.address)).toEqual([
      { from: lower(buyer.address), to: lower(seller.address), amount: 1_234n, index: 0 },
    ])
    expect(coinTransfer(mined)).toBeUndefined()
    expect(tokenTransfer(mined, dai)).toBeUndefined()
    expect(transfersOf(mined.logs, dai)).toEqual([])
  })

  it('tells a transfer of the coin, with what trails it', async () => {
    const { buyer, seller } = local
    const mined = await send({ from: buyer.address, to: seller.address, value: 10n ** 18n, data: '0xfeed' })
    expect(coinTransfer(mined)).toEqual({
      from: lower(buyer.address),
      to: lower(seller.address),
      amount: 10n ** 18n,
      trailing: '0xfeed',
    })
  })

  it('is deep once blocks lie on it, and knows its time', async () => {
    const { buyer, seller } = local
    const mined = await send({ from: buyer.address, to: seller.address, value: 1n })
    expect(await confirmationsOf(asking(), mined)).toBe(0n)
    const at = await minedAt(asking(), mined)
    expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(600)
    await local.mine(3)
    await expect.poll(() => confirmationsOf(asking(), mined)).toBe(3n)
    expect(await minedAt(asking(), { ...mined, blockHash: mined.transaction })).toBeUndefined()
  })

  it('is nothing that was never mined', async () => {
    expect(await readMined(asking(), `0x${'ab'.repeat(32)}`)).toBeUndefined()
  })

  it('that failed moved nothing', async () => {
    const { buyer, usdc } = local
    const failed = await send({ from: buyer.address, to: usdc.address, data: transfer(10n ** 30n), gas: 200_000n })
    expect(failed.success).toBe(false)
    expect(tokenTransfer(failed, usdc.address)).toBeUndefined()
    expect(transfersOf(failed.logs, usdc.address)).toEqual([])
    const contract = await send({ from: buyer.address, to: usdc.address, value: 1n, data: '0x', gas: 200_000n })
    expect({ success: contract.success, moved: coinTransfer(contract) }).toEqual({ success: false, moved: undefined })
  })

  it('shows a transfer that a contract made, and calls it nobody’s own', async () => {
    const { buyer, seller, usdc } = local
    await send({
      from: buyer.address,
      to: usdc.address,
      data: encodeFunctionData({ abi, functionName: 'approve', args: [multicall3Address, 10n] }),
    })
    const callData = encodeFunctionData({ abi, functionName: 'transferFrom', args: [buyer.address, seller.address, 5n] })
    const calls = [{ target: usdc.address, allowFailure: false, callData }]
    const mined = await send({
      from: buyer.address,
      to: multicall3Address,
      data: encodeFunctionData({ abi, functionName: 'aggregate3', args: [calls] }),
    })
    expect(tokenTransfer(mined, usdc.address)).toBeUndefined()
    expect(transfersOf(mined.logs, usdc.address)).toMatchObject([{ to: lower(seller.address), amount: 5n }])
  })

  it('that made a contract paid nobody', async () => {
    const mined = await send({ from: local.buyer.address, data: '0x00', value: 0n })
    expect({ to: mined.to, coin: coinTransfer(mined), token: tokenTransfer(mined, dai) }).toEqual({
      to: undefined,
      coin: undefined,
      token: undefined,
    })
  })
})
