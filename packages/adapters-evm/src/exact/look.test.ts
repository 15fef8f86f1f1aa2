import { type PaymentRequirements, parsePrice, requestBinding, type Submission } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { encodeFunctionData, parseAbi, parseSignature } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactEvmClient, privateKeySigner } from '../client.ts'
import { evmChain, exactEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer } from '../server.ts'

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let facilitator: ReturnType<typeof exactEvmFacilitator>
let seller: ReturnType<typeof exactEvmServer>
let requirements: PaymentRequirements

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  facilitator = exactEvmFacilitator({ chain })
  seller = exactEvmServer({ network, payTo: local.seller.address, rpcUrl, confirmations: 1n })
  await seller.start?.()
  requirements = seller.requirements({
    price: parsePrice('$0.01'),
    kind: facilitator.supported(),
    maxTimeoutSeconds: 300,
    flow: 'authorization',
  })
})
afterAll(() => local.stop())

const binding = requestBinding({ method: 'GET', url: 'https://shop.example/weather?day=1', bodyHash: '' })

async function pay(asked: Partial<PaymentRequirements> = {}, { salt }: { salt?: Uint8Array } = {}): Promise<Submission> {
  const terms = { ...requirements, ...asked }
  const salted = (bytes: Uint8Array): Uint8Array => {
    bytes.set(salt?.subarray(0, bytes.length) ?? [])
    return bytes
  }
  const random = salt === undefined ? {} : { random: salted }
  const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), ...random })
  // A chain whose clock was moved has a time of its own.
  const { timestamp } = await blockNow()
  const { payload } = await client.prepare(terms, { now: Number(timestamp), maxTimeoutSeconds: 300, binding })
  return { payment: { x402Version: 2, accepted: terms, payload }, requirements: terms }
}

async function blockNow(): Promise<{ timestamp: bigint }> {
  const { timestamp } = (await local.rpc('eth_getBlockByNumber', ['latest', false])) as { timestamp: string } // anvil's block
  return { timestamp: BigInt(timestamp) }
}

async function settle(submission: Submission): Promise<string> {
  const { transaction } = await mine(chain, facilitator.plan(submission))
  return transaction
}

const look = (submission: Submission, transaction?: string) => seller.look?.(submission, transaction === undefined ? {} : { transaction })

describe('a seller with an RPC sees for itself', () => {
  test('what was paid, by whomever, with the log that paid', async () => {
    verifies(['M1', 'M5', 'A8'])
    const submission = await pay()
    expect(await look(submission)).toMatchObject({ status: 'pending' })
    const transaction = await settle(submission)
    const unfinished = { status: 'pending', transaction, network: local.network, payer: local.buyer.address }
    await expect.poll(() => look(submission)).toEqual(unfinished)
    expect(await look(submission, transaction)).toMatchObject({ status: 'settled' })
    await local.mine(2)
    const seen = { status: 'settled', transaction, network: local.network, payer: local.buyer.address, amount: '10000', logIndex: 1 }
    await expect.poll(() => look(submission)).toEqual(seen)
    expect(await look(submission, transaction)).toEqual(seen)
    expect(await look(submission, `0x${'ab'.repeat(32)}`)).toEqual(seen)
    expect(await seller.funds?.(submission)).toBe(await local.balanceOf(local.buyer.address))
  })

  test('that a transaction of another payment, another amount or another payee did not pay this one', async () => {
    verifies(['M1', 'A25'])
    const [other, submission] = [await pay(), await pay()]
    const transaction = await settle(other)
    expect(await look(submission, transaction)).toMatchObject({ status: 'pending', denied: true })
    const asked: readonly Partial<PaymentRequirements>[] = [{ amount: '10001' }, { payTo: local.owner.address }]
    for (const terms of asked) {
      const wrong = { ...other, requirements: { ...other.requirements, ...terms } }
      expect(await look(wrong, transaction)).toMatchObject({ denied: true })
      await local.mine(2)
      const seen = await look(wrong, transaction)
      expect(seen).toMatchObject({ status: 'notSettled', reason: 'invalid_exact_evm_nonce_already_used', retry: 'resign', denied: true })
    }
  })

  test('that a nonce was used for another transfer, or cancelled: final only once a block lies on top', async () => {
    verifies(['M1', 'M3', 'A9'])
    const salt = crypto.getRandomValues(new Uint8Array(32))
    const submission = await pay({}, { salt })
    await settle(await pay({ payTo: local.owner.address }, { salt }))
    await expect.poll(() => look(submission)).toMatchObject({ status: 'pending' })
    await local.mine(2)
    expect(await look(submission)).toMatchObject({ status: 'notSettled', reason: 'invalid_exact_evm_nonce_already_used', retry: 'resign' })

    const cancelled = await pay()
    await cancel(cancelled)
    await local.mine(2)
    expect(await look(cancelled)).toMatchObject({ status: 'notSettled', reason: 'invalid_exact_evm_nonce_already_used' })
  })

  test('that it expired unused, by a final block and not by its own clock', async () => {
    verifies('M3')
    const submission = await pay()
    await local.increaseTime(301)
    expect(await look(submission)).toMatchObject({ status: 'pending' })
    await local.mine(2)
    expect(await look(submission)).toMatchObject({
      status: 'notSettled',
      reason: 'invalid_exact_evm_payload_authorization_valid_before',
      retry: 'resign',
    })
  })

  test('whether a payment commits to the very request', async () => {
    verifies('M2')
    const { payment } = await pay()
    const other = requestBinding({ method: 'GET', url: 'https://other.example/weather?day=1', bodyHash: '' })
    expect([seller.commits?.(payment, binding), seller.commits?.(payment, other)]).toEqual([true, false])
  })

  test('that its RPC is another chain’s', async () => {
    const wrong = exactEvmServer({ network: 'base', payTo: local.seller.address, rpcUrl: local.rpcUrl })
    await expect(wrong.start?.()).rejects.toMatchObject({ code: 'config/wrong-chain' })
    expect(() => exactEvmServer({ network: 'base', payTo: local.seller.address, rpcUrl: 'ws://x' })).toThrow(
      expect.objectContaining({ code: 'config/bad-rpc-url' }),
    )
  })
})

async function cancel({ payment }: Submission): Promise<void> {
  const { nonce } = (payment.payload as { authorization: { nonce: `0x${string}` } }).authorization // as `pay` made it
  const account = privateKeyToAccount(local.buyer.privateKey)
  const { name, version, address: verifyingContract } = local.usdc
  const signature = await account.signTypedData({
    domain: { name, version, chainId: local.chainId, verifyingContract },
    types: {
      CancelAuthorization: [
        { name: 'authorizer', type: 'address' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'CancelAuthorization',
    message: { authorizer: account.address, nonce },
  })
  const { r, s, v } = parseSignature(signature)
  const abi = parseAbi(['function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)'])
  const data = encodeFunctionData({ abi, functionName: 'cancelAuthorization', args: [account.address, nonce, Number(v), r, s] })
  await local.rpc('eth_sendTransaction', [{ from: local.facilitator.address, to: verifyingContract, data }])
}
