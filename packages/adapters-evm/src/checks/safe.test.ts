import { createRequire } from 'node:module'
import { type FacilitatorScheme, type Outcome, parsePrice, type ServerScheme, type Submission } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import {
  type Address,
  encodeAbiParameters,
  encodeFunctionData,
  erc20Abi,
  getAddress,
  type Hex,
  maxUint256,
  parseAbi,
  serializeErc6492Signature,
  zeroAddress,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { type EvmSigner, exactEvmClient, permit2, uptoEvmClient } from '../client.ts'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer, uptoEvmServer } from '../server.ts'

// Safe 1.4.1 as it is deployed on live chains: a wallet that most sellers will meet.

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let safe: Record<'singleton' | 'factory' | 'handler', Address>

const hex = z.templateLiteral(['0x', z.string()])
const artifact = z.looseObject({ bytecode: hex })
const factoryAbi = parseAbi(['function createProxyWithNonce(address singleton, bytes initializer, uint256 saltNonce) returns (address)'])
const safeAbi = parseAbi([
  'function setup(address[] owners, uint256 threshold, address to, bytes data, address handler, address token, uint256 payment, address receiver)',
])

beforeAll(async () => {
  local = await startEvmChain()
  const [singleton, factory, handler] = [
    await deploy('Safe'),
    await deploy('proxies/SafeProxyFactory'),
    await deploy('handler/CompatibilityFallbackHandler'),
  ]
  safe = { singleton, factory, handler }
  const { network, rpcUrl, facilitator } = local
  chain = evmChain({ network, rpcUrl, signers: [facilitator.privateKey], confirmations: 0n })
})
afterAll(() => local.stop())

async function deploy(path: string): Promise<Address> {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const json: unknown = createRequire(import.meta.url)(`@safe-global/safe-contracts/build/artifacts/contracts/${path}.sol/${name}.json`)
  const { contractAddress } = await send({ data: artifact.parse(json).bytecode })
  return getAddress(String(contractAddress))
}

async function send(call: { from?: Address; to?: Address; data: Hex }): Promise<{ contractAddress?: unknown }> {
  return Object(await local.rpc('eth_sendTransactionSync', [{ from: local.owner.address, gas: 8_000_000n, ...call }]))
}

/** A Safe of one new key, with money, before it is deployed: what deploys it, and how it signs. */
async function newSafe() {
  const key = privateKeyToAccount(generatePrivateKey())
  const nobody = [zeroAddress, 0n, zeroAddress] as const
  const setup = [[key.address], 1n, zeroAddress, '0x', safe.handler, ...nobody] as const
  const initializer = encodeFunctionData({ abi: safeAbi, functionName: 'setup', args: setup })
  const data = encodeFunctionData({ abi: factoryAbi, functionName: 'createProxyWithNonce', args: [safe.singleton, initializer, 7n] })
  const answer = String(await local.rpc('eth_call', [{ to: safe.factory, data }, 'latest']))
  const address = getAddress(`0x${answer.slice(26)}`)
  await local.mint(address, 1_000_000n)
  const sign = ({ hash }: { readonly hash: Hex }): Promise<Hex> =>
    key.signTypedData({
      domain: { chainId: local.chainId, verifyingContract: address },
      types: { SafeMessage: [{ name: 'message', type: 'bytes' }] },
      primaryType: 'SafeMessage',
      message: { message: encodeAbiParameters([{ type: 'bytes32' }], [hash]) },
    })
  const there: EvmSigner = { address, sign }
  const notYet: EvmSigner = {
    address,
    sign: async (asked) => serializeErc6492Signature({ address: safe.factory, data, signature: await sign(asked) }),
  }
  return { address, data, there, notYet }
}

type Roles = {
  readonly client: (signer: EvmSigner) => ReturnType<typeof exactEvmClient>
  server: ServerScheme
  facilitator: FacilitatorScheme
}

function rolesOf(way: 'eip3009' | 'permit2' | 'upto'): Roles {
  const seat = { network: local.network, payTo: local.seller.address }
  if (way === 'upto')
    return { client: (signer) => uptoEvmClient({ signer }), server: uptoEvmServer(seat), facilitator: uptoEvmFacilitator({ chain }) }
  return {
    client: (signer) => exactEvmClient({ signer, methods: [permit2()] }),
    server: exactEvmServer({ ...seat, transfer: way }),
    facilitator: exactEvmFacilitator({ chain, erc6492Factories: [safe.factory] }),
  }
}

async function pay(way: 'eip3009' | 'permit2' | 'upto', signer: EvmSigner) {
  const { client, server, facilitator } = rolesOf(way)
  await facilitator.start()
  const offer = { price: parsePrice('$0.01'), kind: facilitator.supported(), maxTimeoutSeconds: 300, flow: 'authorization' } as const
  const requirements = server.requirements(offer)
  const { payload } = await client(signer).prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
  const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
  return { submission, facilitator }
}

async function settle({ submission, facilitator }: Awaited<ReturnType<typeof pay>>): Promise<Outcome> {
  await expect.poll(() => facilitator.verify(submission)).toMatchObject({ valid: true })
  return facilitator.outcome(submission, await mine(chain, facilitator.plan(submission)))
}

test('a Safe that is not there yet is made by its first payment, and pays in every way from then on', async () => {
  verifies(['H20', 'M14', 'M20', 'H24'])
  const { address, there, notYet } = await newSafe()
  const before = await local.balanceOf(local.seller.address)
  expect(await settle(await pay('eip3009', notYet))).toMatchObject({ status: 'settled', payer: address })
  expect(await local.rpc('eth_getCode', [address, 'latest'])).not.toBe('0x')
  await local.rpc('anvil_impersonateAccount', [address])
  await local.rpc('anvil_setBalance', [address, 10n ** 18n])
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, maxUint256] })
  await send({ from: address, to: local.usdc.address, data })
  for (const way of ['eip3009', 'permit2', 'upto'] as const) {
    expect(await settle(await pay(way, there))).toMatchObject({ status: 'settled', payer: address, amount: '10000' })
  }
  // A wallet library that goes on to say how it is made pays as well.
  expect(await settle(await pay('eip3009', notYet))).toMatchObject({ status: 'settled', payer: address })
  expect((await local.balanceOf(local.seller.address)) - before).toBe(50_000n)
})

test('a Safe that a stranger makes between the verdict and the settlement pays all the same', async () => {
  verifies(['A8', 'M20', 'H20'])
  const { address, data, notYet } = await newSafe()
  const paying = await pay('eip3009', notYet)
  expect(await paying.facilitator.verify(paying.submission)).toMatchObject({ valid: true })
  await send({ to: safe.factory, data })
  expect(await settle(paying)).toMatchObject({ status: 'settled', payer: address })
})
