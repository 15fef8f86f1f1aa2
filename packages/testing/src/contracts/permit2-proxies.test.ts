import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/contracts.json'
import fc from 'fast-check'
import {
  type Address,
  createPublicClient,
  encodeFunctionData,
  erc20Abi,
  type Hex,
  http,
  maxUint256,
  parseAbi,
  parseSignature,
  zeroAddress,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DevelopmentAccount, facilitator, owner, buyer as payer, seller } from '../chains/accounts.ts'
import { type EvmChain, startEvmChain } from '../chains/evm-chain.ts'
import { exactPermit2Proxy, uptoPermit2Proxy } from './artifacts.ts'
import { caller } from './caller.ts'
import { never } from './signing.ts'
import { eip2612Types, exactTypes, permit2Domain, uptoTypes } from './typed-data.ts'

let chain: EvmChain
let send: Awaited<ReturnType<typeof caller>>
let nonce = 0n

beforeAll(async () => {
  chain = await startEvmChain()
  send = await caller(chain)
  await approve(maxUint256)
})
afterAll(() => chain.stop())

/** What is signed, and what is sent when it is not that. */
type Payment = {
  amount: bigint
  to: Address
  facilitator: Address
  nonce: bigint
  deadline: bigint
  validAfter: bigint
  spender: Address
  chainId: number
  token: Address
}

describe.each(['exact', 'upto'] as const)('the %s proxy', (scheme) => {
  test('refuses what was not signed so', async () => {
    verifies('PERMIT2-PROXIES')
    const differences: [Partial<Payment>, string][] = [
      [{ amount: 8n }, 'InvalidSigner'],
      [{ to: owner.address }, 'InvalidSigner'],
      [{ nonce: 2n ** 200n }, 'InvalidSigner'],
      [{ deadline: never + 1n }, 'InvalidSigner'],
      [{ spender: chain.contracts.permit2Collector }, 'InvalidSigner'],
      [{ chainId: 8453 }, 'InvalidSigner'],
      [{ token: owner.address }, 'InvalidSigner'],
      [{ validAfter: 1n }, 'InvalidSigner'],
      ...(scheme === 'upto' ? [[{ facilitator: owner.address }, 'InvalidSigner'] satisfies [Partial<Payment>, string]] : []),
    ]
    for (const [difference, error] of differences) {
      const sent = payment(scheme, 7n)
      const signature = await sign(scheme, { ...sent, ...difference })
      expect([difference, await pay(scheme, { sent, signature })]).toEqual([difference, error])
    }
    const sent = payment(scheme, 7n)
    expect(await pay(scheme, { sent, signature: await sign(scheme, sent, seller) })).toBe('InvalidSigner')
  })

  test('refuses nothing, nobody, too early and too late, by name', async () => {
    verifies('PERMIT2-PROXIES')
    const now = BigInt(await chain.increaseTime(1))
    const refused: [Partial<Payment>, string][] = [
      [{ amount: 0n }, 'InvalidAmount'],
      [{ to: zeroAddress }, 'InvalidDestination'],
      [{ validAfter: now + 1000n }, 'PaymentTooEarly'],
      [{ deadline: now - 1n }, 'SignatureExpired'],
    ]
    for (const [difference, error] of refused) {
      const sent = { ...payment(scheme, 7n), ...difference }
      expect([difference, await pay(scheme, { sent, signature: await sign(scheme, sent) })]).toEqual([difference, error])
    }
    const sent = payment(scheme, 7n)
    expect(await pay(scheme, { sent, signature: await sign(scheme, sent), from: zeroAddress })).toBe('InvalidOwner')
  })

  test('pays once', async () => {
    verifies('PERMIT2-PROXIES')
    const sent = payment(scheme, 7n)
    const signature = await sign(scheme, sent)
    expect(await pay(scheme, { sent, signature })).toBe('done')
    expect(await pay(scheme, { sent, signature })).toBe('InvalidNonce')
  })

  test('brings an allowance by permit, and goes on without where one stands', async () => {
    verifies('PERMIT2-PROXIES')
    await approve(0n)
    const missing = payment(scheme, 7n)
    expect(await pay(scheme, { sent: missing, signature: await sign(scheme, missing) })).toBe('TRANSFER_FROM_FAILED')
    const sent = payment(scheme, 7n)
    const signature = await sign(scheme, sent)
    const permit = await tokenPermit(7n)
    expect(await pay(scheme, { sent, signature, permit: { ...permit, value: 8n } })).toBe('Permit2612AmountMismatch')
    expect(await pay(scheme, { sent, signature, permit })).toBe('done')
    const next = payment(scheme, 7n)
    expect(await pay(scheme, { sent: next, signature: await sign(scheme, next), permit })).toBe('TRANSFER_FROM_FAILED')
    await approve(maxUint256)
    expect(await pay(scheme, { sent: next, signature: await sign(scheme, next), permit })).toBe('done')
  })
})

test('the exact proxy pays exactly what was signed, whoever sends it', async () => {
  verifies('PERMIT2-PROXIES')
  await fc.assert(
    fc.asyncProperty(fc.bigInt({ min: 1n, max: 10_000n }), fc.constantFrom(facilitator, owner, seller, payer), async (amount, by) => {
      const sent = payment('exact', amount)
      const before = await balances()
      expect(await pay('exact', { sent, signature: await sign('exact', sent), by: by.address })).toBe('done')
      expect(await balances()).toEqual([before[0] - amount, before[1] + amount, 0n, 0n])
    }),
    { numRuns: 25 },
  )
})

test('the upto proxy pays at most what was signed, and for the signed facilitator alone', async () => {
  verifies('PERMIT2-PROXIES')
  await fc.assert(
    fc.asyncProperty(
      fc.bigInt({ min: 0n, max: 100n }),
      fc.bigInt({ min: 0n, max: 110n }),
      fc.constantFrom(facilitator, facilitator, facilitator, owner, seller, payer),
      async (ceiling, used, by) => {
        const sent = payment('upto', ceiling)
        const before = await balances()
        const answer =
          used > ceiling
            ? 'AmountExceedsPermitted'
            : by !== facilitator
              ? 'UnauthorizedFacilitator'
              : used === 0n
                ? 'InvalidAmount'
                : 'done'
        const signature = await sign('upto', sent)
        expect(await pay('upto', { sent, signature, used, by: by.address })).toBe(answer)
        const moved = answer === 'done' ? used : 0n
        expect(await balances()).toEqual([before[0] - moved, before[1] + moved, 0n, 0n])
        // What was not used is not left for a second time.
        if (moved > 0n) expect(await pay('upto', { sent, signature, used: 1n, by: by.address })).toBe('InvalidNonce')
      },
    ),
    { numRuns: 40 },
  )
})

test('a contract account pays by its own judgement', async () => {
  verifies('PERMIT2-PROXIES')
  const wallet = await chain.deploySmartAccount(payer.address)
  await chain.rpc('anvil_setBalance', [wallet, 10n ** 20n])
  await approve(maxUint256, wallet)
  const sent = payment('exact', 7n)
  expect(await pay('exact', { sent, signature: await sign('exact', sent, seller), from: wallet })).toBe('InvalidContractSignature')
  expect(await pay('exact', { sent, signature: await sign('exact', sent), from: wallet })).toBe('done')
  expect(await chain.balanceOf(wallet)).toBe(999_999_993n)
})

type Scheme = 'exact' | 'upto'
type Permit = { value: bigint; deadline: bigint; r: Hex; s: Hex; v: number }

function payment(scheme: Scheme, amount: bigint): Payment {
  nonce += 1n
  const spender = scheme === 'exact' ? chain.contracts.exactPermit2Proxy : chain.contracts.uptoPermit2Proxy
  const { chainId, usdc } = chain
  const signed = { to: seller.address, facilitator: facilitator.address, validAfter: 0n, deadline: never }
  return { ...signed, amount, nonce, spender, chainId, token: usdc.address }
}

function sign(scheme: Scheme, said: Payment, by: DevelopmentAccount = payer): Promise<Hex> {
  const { amount, token, spender, nonce, deadline, to, facilitator, validAfter, chainId } = said
  const message = { permitted: { token, amount }, spender, nonce, deadline, witness: { to, facilitator, validAfter } }
  const typed = { domain: permit2Domain(chainId), primaryType: 'PermitWitnessTransferFrom' } as const
  const account = privateKeyToAccount(by.privateKey)
  return scheme === 'exact'
    ? account.signTypedData({ ...typed, types: exactTypes, message })
    : account.signTypedData({ ...typed, types: uptoTypes, message })
}

type Sent = { sent: Payment; signature: Hex; used?: bigint; by?: Address; from?: Address; permit?: Permit }

async function pay(scheme: Scheme, { sent, signature, used = sent.amount, by, from = payer.address, permit }: Sent): Promise<string> {
  const { token, amount, nonce, deadline, to, validAfter } = sent
  const permitted = { permitted: { token, amount }, nonce, deadline }
  const witness = { to, facilitator: sent.facilitator, validAfter }
  const exact = [permitted, from, witness, signature] as const
  const upto = [permitted, used, from, witness, signature] as const
  const data =
    scheme === 'exact'
      ? permit
        ? encodeFunctionData({ abi: exactPermit2Proxy.abi, functionName: 'settleWithPermit', args: [permit, ...exact] })
        : encodeFunctionData({ abi: exactPermit2Proxy.abi, functionName: 'settle', args: exact })
      : permit
        ? encodeFunctionData({ abi: uptoPermit2Proxy.abi, functionName: 'settleWithPermit', args: [permit, ...upto] })
        : encodeFunctionData({ abi: uptoPermit2Proxy.abi, functionName: 'settle', args: upto })
  const proxy = scheme === 'exact' ? chain.contracts.exactPermit2Proxy : chain.contracts.uptoPermit2Proxy
  const { result, logs } = await send({ from: by ?? facilitator.address, to: proxy, data })
  if (result === 'done') {
    const events = logs.filter(({ address }) => address === proxy.toLowerCase()).map(({ topics: [topic] }) => topic)
    const { Settled, SettledWithPermit } = vectors.interfaces.exactPermit2Proxy.events
    expect(events.at(-1)).toBe(permit ? SettledWithPermit : Settled)
  }
  return result
}

/** Of the payer, the payee and both proxies. */
async function balances(): Promise<[bigint, bigint, bigint, bigint]> {
  const { exactPermit2Proxy, uptoPermit2Proxy } = chain.contracts
  const [a, b, c, d] = [payer.address, seller.address, exactPermit2Proxy, uptoPermit2Proxy].map((address) => chain.balanceOf(address))
  return await Promise.all([a ?? 0n, b ?? 0n, c ?? 0n, d ?? 0n])
}

async function approve(amount: bigint, from: Address = payer.address): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [chain.contracts.permit2, amount] })
  expect((await send({ from, to: chain.usdc.address, data })).result).toBe('done')
}

async function tokenPermit(value: bigint): Promise<Permit> {
  const { usdc, chainId, contracts, rpcUrl } = chain
  const client = createPublicClient({ transport: http(rpcUrl) })
  const signature = await privateKeyToAccount(payer.privateKey).signTypedData({
    domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: usdc.address },
    types: eip2612Types,
    primaryType: 'Permit',
    message: {
      owner: payer.address,
      spender: contracts.permit2,
      value,
      nonce: await client.readContract({ address: usdc.address, abi: permitAbi, functionName: 'nonces', args: [payer.address] }),
      deadline: never,
    },
  })
  const { r, s, yParity } = parseSignature(signature)
  return { value, deadline: never, r, s, v: yParity + 27 }
}

const permitAbi = parseAbi(['function nonces(address owner) view returns (uint256)'])
