import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  domainSeparator,
  getContract,
  type Hex,
  http,
  keccak256,
  parseAbi,
  parseSignature,
  toHex,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EvmChain, startEvmChain } from './evm-chain.ts'
import { multicall3Address, multicall3Code } from './multicall3.ts'

const abi = parseAbi([
  'function name() view returns (string)',
  'function symbol() view returns (string)',
  'function version() view returns (string)',
  'function decimals() view returns (uint8)',
  'function owner() view returns (address)',
  'function totalSupply() view returns (uint256)',
  'function balanceOf(address account) view returns (uint256)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)',
  'function authorizationState(address authorizer, bytes32 nonce) view returns (bool)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
])
const types = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const

describe('the chain of Base Sepolia', () => {
  let chain: EvmChain
  beforeAll(async () => {
    chain = await startEvmChain()
  })
  afterAll(() => chain.stop())

  test('holds USDC as the live chain describes it', async () => {
    const { read } = reader(chain)
    expect({ ...chain.usdc, network: chain.network, chainId: chain.chainId }).toEqual({
      network: 'eip155:84532',
      chainId: 84532,
      address: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
      name: 'USDC',
      version: '2',
      decimals: 6,
    })
    expect(await Promise.all([read.name(), read.symbol(), read.version(), read.decimals(), read.owner()])).toEqual([
      'USDC',
      'USDC',
      '2',
      6,
      chain.owner.address,
    ])
    expect(await read.totalSupply()).toBe(7_000_000_000n)
  })

  test('funds the development accounts', async () => {
    expect(await Promise.all(chain.accounts.map(async ({ role, address }) => [role, await chain.balanceOf(address)]))).toEqual([
      ['owner', 0n],
      ['facilitator', 0n],
      ['seller', 0n],
      ...Array.from({ length: 7 }, () => ['buyer', 1_000_000_000n]),
    ])
    expect(await chain.ethBalance(chain.facilitator.address)).toBe(10_000n * 10n ** 18n)
  })

  test.each(['v, r, s', 'bytes'] as const)('settles an EOA’s authorization through the overload with %s, once', async (overload) => {
    const { read } = reader(chain)
    const authorization = await sign(chain, { from: chain.buyer.address })
    const before = await chain.balanceOf(chain.seller.address)
    await settle(chain, authorization, overload)
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 10_000n)
    expect(await read.authorizationState([chain.buyer.address, authorization.nonce])).toBe(true)
    await expect(settle(chain, authorization, overload)).rejects.toThrow('FiatTokenV2: authorization is used or canceled')
  })

  test('settles the authorization of a contract account, and no other’s', async () => {
    const account = await chain.deploySmartAccount(chain.buyer.address, { usdc: 5_000_000n })
    expect(await chain.balanceOf(account)).toBe(5_000_000n)
    await settle(chain, await sign(chain, { from: account }), 'bytes')
    expect(await chain.balanceOf(account)).toBe(4_990_000n)
    const forged = await sign(chain, { from: account, signer: chain.seller.privateKey })
    await expect(settle(chain, forged, 'bytes')).rejects.toThrow('FiatTokenV2: invalid signature')
  })

  test('refuses an authorization whose time has passed', async () => {
    const late = await sign(chain, { from: chain.buyer.address })
    const timestamp = await chain.increaseTime(3600)
    expect(timestamp).toBeGreaterThan(Number(late.validBefore))
    await expect(settle(chain, late, 'bytes')).rejects.toThrow('FiatTokenV2: authorization is expired')
  })

  test('has Multicall3, which isolates the call that fails', async () => {
    // The code hash of 0xcA11… on every live chain.
    expect(keccak256(multicall3Code)).toBe('0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891')
    const { client } = reader(chain)
    const { address } = chain.usdc
    const results = await client.multicall({
      contracts: [
        { address, abi, functionName: 'symbol' },
        { address: multicall3Address, abi, functionName: 'symbol' },
        { address, abi, functionName: 'decimals' },
      ],
    })
    expect(results.map(({ result }) => result)).toEqual(['USDC', undefined, 6])
  })

  test('mints side by side without losing one', async () => {
    const to: Address = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
    await Promise.all(Array.from({ length: 20 }, () => chain.mint(to, 1n)))
    expect(await chain.balanceOf(to)).toBe(20n)
  })

  test('tells why a call was refused', async () => {
    await expect(chain.mint('0x0000000000000000000000000000000000000000', 1n)).rejects.toMatchObject({
      code: 'testing/rpc-refused',
      message: expect.stringContaining('FiatToken: mint to the zero address'),
    })
    await expect(chain.rpc('no_suchMethod')).rejects.toMatchObject({
      code: 'testing/rpc-refused',
      message: 'The local chain refused no_suchMethod: Method not found (-32601).',
    })
    await chain.mint(chain.seller.address, 1n)
  })

  test('mines on command and takes bigints as quantities', async () => {
    const { client } = reader(chain)
    const before = await client.getBlockNumber({ cacheTime: 0 })
    await chain.mine(3)
    expect(await client.getBlockNumber({ cacheTime: 0 })).toBe(before + 3n)
    await chain.rpc('anvil_setBalance', [chain.seller.address, 5n])
    expect(await chain.ethBalance(chain.seller.address)).toBe(5n)
  })
})

test.each([
  ['eip155:84532', '0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818'],
  ['base', '0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f'],
  ['eip155:1', '0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335'],
  ['eip155:42161', undefined],
  ['eip155:421614', undefined],
  ['eip155:137', undefined],
  ['eip155:43114', undefined],
  ['eip155:42220', undefined],
])('the domain separator on %s is the live chain’s', async (network, live) => {
  const chain = await startEvmChain({ network })
  const { client, read } = reader(chain)
  try {
    const { address: verifyingContract, name, version } = chain.usdc
    const domain = { name, version, chainId: chain.chainId, verifyingContract }
    const separator = await read.DOMAIN_SEPARATOR()
    expect(separator).toBe(domainSeparator({ domain }))
    if (live !== undefined) expect(separator).toBe(live)
    expect(await client.getChainId()).toBe(chain.chainId)
    await settle(chain, await sign(chain, { from: chain.buyer.address }), 'bytes')
    expect(await chain.balanceOf(chain.seller.address)).toBe(10_000n)
  } finally {
    await chain.stop()
  }
})

test('chains run side by side and share nothing', async () => {
  const chains = await Promise.all(['base', 'base-sepolia', 'base-sepolia', 'polygon'].map((network) => startEvmChain({ network })))
  const [first, ...others] = chains
  await first?.mint(first.seller.address, 7n)
  expect(new Set(chains.map((chain) => chain.rpcUrl)).size).toBe(4)
  expect(await Promise.all(others.map((chain) => chain.balanceOf(chain.seller.address)))).toEqual([0n, 0n, 0n])
  await Promise.all(chains.map((chain) => chain.stop()))
})

test('a block time mines by the clock, and balances fund further accounts', async () => {
  const address: Address = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
  const chain = await startEvmChain({ blockTime: 1, balances: [{ address, usdc: 42n, eth: 43n }] })
  const { client } = reader(chain)
  try {
    expect([await chain.balanceOf(address), await chain.ethBalance(address)]).toEqual([42n, 43n])
    const before = await client.getBlockNumber({ cacheTime: 0 })
    await delay(1200)
    expect(await client.getBlockNumber({ cacheTime: 0 })).toBeGreaterThan(before)
    await chain.mint(address, 1n)
    expect(await chain.balanceOf(address)).toBe(43n)
  } finally {
    await chain.stop()
  }
})

test.each([
  ['solana-devnet', 'testing/no-usdc'],
  ['eip155:31337', 'testing/no-usdc'],
  ['nowhere', 'config/unknown-network'],
])('there is no local chain for %s', async (network, code) => {
  await expect(startEvmChain({ network })).rejects.toMatchObject({ code })
})

type Authorization = { from: Address; to: Address; value: bigint; validAfter: bigint; validBefore: bigint; nonce: Hex; signature: Hex }

async function sign(chain: EvmChain, { from, signer = chain.buyer.privateKey }: { from: Address; signer?: Hex }): Promise<Authorization> {
  const { address: verifyingContract, name, version } = chain.usdc
  const { timestamp } = await reader(chain).client.getBlock()
  const message = {
    from,
    to: chain.seller.address,
    value: 10_000n,
    validAfter: 0n,
    validBefore: timestamp + 600n,
    nonce: toHex(randomBytes(32)),
  }
  const domain = { name, version, chainId: chain.chainId, verifyingContract }
  const signature = await privateKeyToAccount(signer).signTypedData({ domain, types, primaryType: 'TransferWithAuthorization', message })
  return { ...message, signature }
}

async function settle(chain: EvmChain, authorization: Authorization, overload: 'v, r, s' | 'bytes'): Promise<void> {
  const { client, viemChain } = reader(chain)
  const wallet = createWalletClient({ account: privateKeyToAccount(chain.facilitator.privateKey), chain: viemChain, transport: http() })
  const { from, to, value, validAfter, validBefore, nonce, signature } = authorization
  const fixed = [from, to, value, validAfter, validBefore, nonce] as const
  const call = { address: chain.usdc.address, abi, functionName: 'transferWithAuthorization' } as const
  const { r, s, yParity } = parseSignature(signature)
  const hash =
    overload === 'bytes'
      ? await wallet.writeContract({ ...call, args: [...fixed, signature] })
      : await wallet.writeContract({ ...call, args: [...fixed, yParity + 27, r, s] })
  const { status } = await client.waitForTransactionReceipt({ hash })
  expect(status).toBe('success')
}

function reader(chain: EvmChain) {
  const viemChain = defineChain({
    id: chain.chainId,
    name: chain.network,
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [chain.rpcUrl] } },
    contracts: { multicall3: { address: multicall3Address } },
  })
  const client = createPublicClient({ chain: viemChain, transport: http(), pollingInterval: 10 })
  return { client, viemChain, read: getContract({ address: chain.usdc.address, abi, client }).read }
}
