import { type Outcome, type PaymentRequirements, parsePrice, type Submission, type Verdict } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { type Address, encodeFunctionData, erc20Abi, type Hex, maxUint256, multicall3Abi, parseAbi } from 'viem'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { multicall3 } from '../chain/abi.ts'
import { type EvmSigner, exactEvmClient, permit2, privateKeySigner } from '../client.ts'
import { evmChain, exactEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer } from '../server.ts'

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let facilitator: ReturnType<typeof exactEvmFacilitator>
let seller: ReturnType<typeof exactEvmServer>
let requirements: PaymentRequirements
let requests: string[] = []

const counted: typeof fetch = (input, init) => {
  requests.push(/"method":"(\w+)"/.exec(String(init?.body))?.[1] ?? '')
  return fetch(input, init)
}

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey], confirmations: 1n, fetch: counted })
  facilitator = exactEvmFacilitator({ chain })
  await facilitator.start()
  seller = exactEvmServer({ network, payTo: local.seller.address, transfer: 'permit2', rpcUrl, confirmations: 1n })
  requirements = seller.requirements({
    price: parsePrice('$0.01'),
    kind: facilitator.supported(),
    maxTimeoutSeconds: 300,
    flow: 'authorization',
  })
})
beforeEach(() => approve(maxUint256))
afterAll(() => local.stop())

const now = () => Math.floor(Date.now() / 1000)
const buyer = () => privateKeySigner(local.buyer.privateKey)
const reasonOf = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason)

type Terms = {
  readonly asked?: Partial<PaymentRequirements>
  readonly salt?: Uint8Array
  readonly at?: number
  readonly signer?: EvmSigner
}

async function pay({ asked, salt, at = now(), signer = buyer() }: Terms = {}): Promise<Submission> {
  const terms = { ...requirements, ...asked }
  const random = (bytes: Uint8Array) => {
    bytes.set(salt?.subarray(0, bytes.length) ?? [])
    return bytes
  }
  const client = exactEvmClient({ signer, methods: [permit2()], ...(salt === undefined ? {} : { random }) })
  const { payload } = await client.prepare(terms, { now: at, maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: terms, payload }, requirements: terms }
}

const altered = (submission: Submission, change: (authorization: Record<string, unknown>) => object): Submission => {
  const { payload } = submission.payment
  const authorization: Record<string, unknown> = Object(payload.permit2Authorization)
  return {
    ...submission,
    payment: { ...submission.payment, payload: { ...payload, permit2Authorization: { ...authorization, ...change(authorization) } } },
  }
}

async function settle(submissions: readonly Submission[]): Promise<{ outcomes: Outcome[]; transaction: string }> {
  const mined = await mine(
    chain,
    submissions.flatMap((submission) => facilitator.plan(submission)),
  )
  return { outcomes: submissions.map((submission) => facilitator.outcome(submission, mined)), transaction: mined.transaction }
}

async function approve(amount: bigint, from: Address = local.buyer.address): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, amount] })
  await send({ from, to: local.usdc.address, data })
}

async function send(call: { from: Address; to: Address; data: Hex }): Promise<string> {
  const { transactionHash } = Object(await local.rpc('eth_sendTransactionSync', [{ gas: 2_000_000n, ...call }]))
  return String(transactionHash)
}

describe('a payer with a key', () => {
  test('is verified in one round trip, and told what it holds', async () => {
    verifies('PERMIT2-EVM')
    const submission = await pay()
    requests = []
    const funds = await local.balanceOf(local.buyer.address)
    expect(await facilitator.verify(submission)).toEqual({ valid: true, payer: local.buyer.address, funds })
    expect(requests).toEqual(['eth_call'])
    expect(facilitator.plan(submission)).toMatchObject([{ alone: false, apart: expect.stringContaining('permit2 ') }])
  })

  test('pays by both methods with one facilitator, in one batch', async () => {
    const [proxied, direct] = [await pay(), await payDirectly()]
    for (const submission of [proxied, direct]) expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
    const before = await local.balanceOf(local.seller.address)
    const { outcomes } = await settle([proxied, direct])
    expect(outcomes).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
    expect(await local.balanceOf(local.seller.address)).toBe(before + 20_000n)
  })
})

async function payDirectly(): Promise<Submission> {
  const terms = { ...requirements, extra: { name: local.usdc.name, version: local.usdc.version } }
  const { payload } = await exactEvmClient({ signer: buyer() }).prepare(terms, { now: now(), maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: terms, payload }, requirements: terms }
}

describe('refused by what was signed, without asking the chain', () => {
  const other = `0x${'12'.repeat(20)}`
  test.each<[string, (submission: Submission) => Submission]>([
    ['invalid_exact_evm_scheme', (s) => ({ ...s, requirements: { ...s.requirements, scheme: 'upto' } })],
    ['invalid_exact_evm_network_mismatch', (s) => ({ ...s, requirements: { ...s.requirements, network: 'eip155:8453' } })],
    ['unsupported_payload_type', (s) => ({ ...s, payment: { ...s.payment, accepted: { ...s.payment.accepted, extra: {} } } })],
    ['invalid_payment_requirements', (s) => ({ ...s, requirements: { ...s.requirements, asset: other } })],
    ['invalid_payload', (s) => ({ ...s, payment: { ...s.payment, payload: { signature: '0x00' } } })],
    ['invalid_permit2_spender', (s) => altered(s, () => ({ spender: local.contracts.uptoPermit2Proxy }))],
    ['invalid_permit2_recipient_mismatch', (s) => altered(s, () => ({ witness: { to: other, validAfter: '0' } }))],
    ['permit2_deadline_expired', (s) => altered(s, () => ({ deadline: `${now() + 3}` }))],
    ['permit2_deadline_expired', (s) => altered(s, () => ({ deadline: `${now() + 86_400}` }))],
    ['permit2_not_yet_valid', (s) => altered(s, () => ({ witness: { to: s.requirements.payTo, validAfter: `${now() + 60}` } }))],
    ['permit2_amount_mismatch', (s) => altered(s, () => ({ permitted: { token: s.requirements.asset, amount: '9999' } }))],
    ['permit2_token_mismatch', (s) => altered(s, () => ({ permitted: { token: other, amount: s.requirements.amount } }))],
  ])('%s', async (reason, change) => {
    verifies(['PERMIT2-EVM', 'A26', 'ERROR-CODES', 'M12'])
    const submission = change(await pay())
    requests = []
    expect(reasonOf(await facilitator.verify(submission))).toBe(reason)
    expect(requests).toEqual([])
    const seen = seller.check(submission, { now: now() })
    expect(reasonOf(seen)).toBe(reason)
  })
})

describe('refused by what the chain says', () => {
  test('a signature over something else, or by somebody else', async () => {
    const forged = await pay({ signer: { ...privateKeySigner(local.owner.privateKey), address: local.buyer.address } })
    expect(reasonOf(await facilitator.verify(forged))).toBe('invalid_permit2_signature')
    const changed = altered(await pay(), ({ nonce }) => ({ nonce: `${BigInt(String(nonce)) + 1n}` }))
    expect(reasonOf(await facilitator.verify(changed))).toBe('invalid_permit2_signature')
  })

  test('no approval of Permit2, which is told from no money and from a used nonce', async () => {
    verifies('H49')
    const submission = await pay()
    await approve(9_999n)
    await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toBe('permit2_allowance_required')
    await approve(10_000n)
    await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toBe('valid')
    await settle([submission])
    await expect.poll(() => facilitator.verify(submission)).toMatchObject({ reason: 'permit2_invalid_nonce', over: true })
    const rich = await pay({ asked: { amount: '999999999999' } })
    expect(reasonOf(await facilitator.verify(rich))).toBe('permit2_insufficient_balance')
  })

  test('no approval is told before anything is signed, where the payer has a node', async () => {
    verifies('H49')
    await approve(9_999n)
    const signer = { address: local.buyer.address, sign: () => Promise.reject(new TypeError('asked to sign')) }
    const methods = [permit2({ rpcUrls: { 'base-sepolia': local.rpcUrl } })]
    const preparing = exactEvmClient({ signer, methods }).prepare(requirements, { now: now(), maxTimeoutSeconds: 300 })
    await expect(preparing).rejects.toMatchObject({
      code: 'evm/approval-required',
      moneyMoved: 'no',
      context: { owner: local.buyer.address, spender: local.contracts.permit2, needed: 10_000n, allowed: 9_999n },
    })
  })

  test('a token that nobody listed', async () => {
    verifies('A7')
    const asset = `0x${'ab'.repeat(20)}`
    expect(reasonOf(await facilitator.verify(await pay({ asked: { asset } })))).toBe('invalid_payment_requirements')
  })
})

test('a contract pays by its own rules and alone (M14)', async () => {
  verifies(['M14', 'H20'])
  const wallet = await local.deploySmartAccount(local.owner.address)
  await local.rpc('anvil_impersonateAccount', [wallet])
  await local.rpc('anvil_setBalance', [wallet, 10n ** 18n])
  await approve(maxUint256, wallet)
  const submission = await pay({ signer: { ...privateKeySigner(local.owner.privateKey), address: wallet } })
  expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
  expect(facilitator.plan(submission)).toMatchObject([{ alone: true }])
  expect((await settle([submission])).outcomes).toMatchObject([{ status: 'settled', payer: wallet }])
  const forged = await pay({ signer: { ...buyer(), address: wallet } })
  expect(reasonOf(await facilitator.verify(forged))).toBe('invalid_permit2_signature')
})

test('payments that leave the same logs say so, and of two in one batch anyway the outcome is not guessed (M16)', async () => {
  verifies('M16')
  const [one, two, dearer] = [await pay(), await pay(), await pay({ asked: { amount: '10001' } })]
  const marks = [one, two, dearer].map((submission) => facilitator.plan(submission)[0]?.apart)
  expect(marks[0]).toBe(marks[1])
  expect(marks[2]).not.toBe(marks[0])
  await approve(10_000n)
  for (const submission of [one, two]) await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toBe('valid')
  const { outcomes } = await settle([one, two])
  expect(outcomes.map(({ status }) => status)).toEqual(['pending', 'pending'])
})

describe('what the chain shows of a payment', () => {
  const look = (submission: Submission, transaction?: string) => seller.look?.(submission, transaction === undefined ? {} : { transaction })

  test('paid by whomever, directly, in a batch, or deep inside other calls', async () => {
    verifies(['M1', 'M5', 'A8'])
    const submissions = [await pay(), await pay({ asked: { amount: '10001' } }), await pay({ asked: { amount: '10002' } })] as const
    const calls = submissions.map((submission) =>
      facilitator.plan(submission).map(({ target, data }) => ({ target: hex(target), callData: hex(data) })),
    )
    const [direct, batched, hidden] = calls.map(([call = { target: multicall3, callData: '0x' } as const]) => call)
    if (direct === undefined || batched === undefined || hidden === undefined) throw new TypeError('no call')
    const from = local.owner.address
    const aggregate = encodeFunctionData({ abi: multicall3Abi, functionName: 'aggregate3', args: [[{ ...batched, allowFailure: true }]] })
    const older = encodeFunctionData({
      abi: parseAbi(['function tryAggregate(bool, (address, bytes)[]) payable']),
      args: [false, [[hidden.target, hidden.callData]]],
    })
    const hashes = [
      await send({ from, to: direct.target, data: direct.callData }),
      await send({ from, to: multicall3, data: aggregate }),
      await send({ from, to: multicall3, data: older }),
    ]
    await local.mine(2)
    for (const [index, submission] of submissions.entries()) {
      const transaction = hashes[index]
      const { amount } = submission.requirements
      const seen = { status: 'settled', transaction, network: local.network, payer: local.buyer.address, amount, logIndex: 0 }
      await expect.poll(() => look(submission)).toEqual(seen)
      expect(await look(submission, transaction)).toEqual(seen)
      expect(await facilitator.look?.(submission)).toEqual(seen)
    }
  })

  test('of two payments that leave the same logs, each its own', async () => {
    verifies('M1')
    const [one, two] = [await pay(), await pay()] as const
    const items = [one, two]
      .flatMap((submission) => facilitator.plan(submission))
      .map(({ target, data }) => ({ target: hex(target), callData: hex(data), allowFailure: true }))
    const data = encodeFunctionData({ abi: multicall3Abi, functionName: 'aggregate3', args: [items] })
    await send({ from: local.owner.address, to: multicall3, data })
    await local.mine(2)
    const seen = [await look(one), await look(two)]
    expect(seen).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
    expect(seen.map((one) => (one?.status === 'settled' ? one.logIndex : undefined))).toEqual([0, 2])
  })

  test('a nonce spent for somebody else is not this payment, nor is another payment of the same amount', async () => {
    verifies(['M1', 'M3', 'A9', 'A25'])
    const salt = crypto.getRandomValues(new Uint8Array(32))
    const [submission, other] = [await pay({ salt }), await pay()]
    const { transaction } = await settle([other])
    await expect.poll(() => look(submission, transaction)).toMatchObject({ status: 'pending', denied: true })
    await settle([await pay({ salt, asked: { payTo: local.owner.address } })])
    await local.mine(2)
    await expect.poll(() => look(submission)).toMatchObject({ status: 'notSettled', reason: 'permit2_invalid_nonce', retry: 'resign' })
  })

  test('expired unused, by a final block and not by its own clock', async () => {
    verifies('M3')
    const submission = await pay({ at: now() - 290 })
    expect(await look(submission)).toMatchObject({ status: 'pending' })
    await local.increaseTime(20)
    await local.mine(2)
    expect(await look(submission)).toMatchObject({ status: 'notSettled', reason: 'permit2_deadline_expired', retry: 'resign' })
  })
})

function hex(text: string): Hex {
  return `0x${text.slice(2)}`
}
