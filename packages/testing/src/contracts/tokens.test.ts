import { assetOf } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { createPublicClient, domainSeparator, encodeFunctionData, getAddress, http, maxUint256, parseSignature, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buyer, facilitator, seller } from '../chains/accounts.ts'
import { type EvmChain, startEvmChain } from '../chains/evm-chain.ts'
import { dai, usdt } from './artifacts.ts'
import { caller } from './caller.ts'
import { never } from './signing.ts'
import { eip3009DepositTypes } from './typed-data.ts'

describe.each([
  ['eip155:1', 'DAI', dai.abi, 18],
  ['eip155:42161', 'USDT', usdt.abi, 6],
] as const)('on %s the equivalent of %s', (network, symbol, abi, decimals) => {
  const asset = assetOf(network, symbol)
  const token = getAddress(asset.address)
  const domain = { ...asset.eip712, chainId: Number(network.slice(7)), verifyingContract: token }
  const account = privateKeyToAccount(buyer.privateKey)
  let chain: EvmChain
  let send: Awaited<ReturnType<typeof caller>>
  beforeAll(async () => {
    chain = await startEvmChain({ network })
    send = await caller(chain)
    await chain.mint(buyer.address, 100n, { token })
  })
  afterAll(() => chain.stop())

  test('is the token of the asset table', async () => {
    verifies('NET-ASSETS')
    const client = createPublicClient({ transport: http(chain.rpcUrl) })
    const read = { address: token, abi } as const
    expect(await client.readContract({ ...read, functionName: 'name' })).toBe(asset.eip712?.name)
    expect(await client.readContract({ ...read, functionName: 'version' })).toBe(asset.eip712?.version)
    expect(await client.readContract({ ...read, functionName: 'decimals' })).toBe(asset.decimals)
    expect(asset.decimals).toBe(decimals)
    expect(await client.readContract({ ...read, functionName: 'DOMAIN_SEPARATOR' })).toBe(domainSeparator({ domain }))
    expect(await chain.balanceOf(buyer.address, { token })).toBe(100n)
    const mint = encodeFunctionData({ abi, functionName: 'mint', args: [seller.address, 1n] })
    expect((await send({ from: seller.address, to: token, data: mint })).result).toBe('only the treasury mints')
  })

  if (symbol === 'DAI')
    test('is allowed by a permit of its own kind', async () => {
      const message = { holder: buyer.address, spender: chain.contracts.permit2, nonce: 0n, expiry: 0n, allowed: true }
      const types = {
        Permit: [
          { name: 'holder', type: 'address' },
          { name: 'spender', type: 'address' },
          { name: 'nonce', type: 'uint256' },
          { name: 'expiry', type: 'uint256' },
          { name: 'allowed', type: 'bool' },
        ],
      } as const
      const { r, s, yParity } = parseSignature(await account.signTypedData({ domain, types, primaryType: 'Permit', message }))
      const permit = (allowed: boolean) => {
        const args = [message.holder, message.spender, 0n, 0n, allowed, yParity + 27, r, s] as const
        return send({ from: facilitator.address, to: token, data: encodeFunctionData({ abi: dai.abi, functionName: 'permit', args }) })
      }
      expect((await permit(false)).result).toBe('Dai/invalid-permit')
      expect((await permit(true)).result).toBe('done')
      expect((await permit(true)).result).toBe('Dai/invalid-nonce')
      const client = createPublicClient({ transport: http(chain.rpcUrl) })
      const read = { address: token, abi: dai.abi, functionName: 'allowance', args: [buyer.address, chain.contracts.permit2] } as const
      expect(await client.readContract(read)).toBe(maxUint256)
    })

  if (symbol === 'USDT')
    test('is paid by an authorization, once, through either overload', async () => {
      const types = { TransferWithAuthorization: eip3009DepositTypes.ReceiveWithAuthorization }
      for (const overload of ['bytes', 'v, r, s']) {
        const nonce = toHex(overload, { size: 32 })
        const message = { from: buyer.address, to: seller.address, value: 7n, validAfter: 0n, validBefore: never, nonce }
        const signature = await account.signTypedData({ domain, types, primaryType: 'TransferWithAuthorization', message })
        const { r, s, yParity } = parseSignature(signature)
        const pay = (value: bigint) => {
          const args = [message.from, message.to, value, 0n, never, nonce] as const
          const call = { abi: usdt.abi, functionName: 'transferWithAuthorization' } as const
          const data =
            overload === 'bytes'
              ? encodeFunctionData({ ...call, args: [...args, signature] })
              : encodeFunctionData({ ...call, args: [...args, yParity + 27, r, s] })
          return send({ from: facilitator.address, to: token, data })
        }
        expect((await pay(8n)).result).toBe('invalid signature')
        expect((await pay(7n)).result).toBe('done')
        expect((await pay(7n)).result).toBe('authorization is used or canceled')
      }
      await expect.poll(() => chain.balanceOf(seller.address, { token })).toBe(14n)
    })
})
