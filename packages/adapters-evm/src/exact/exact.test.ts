import { type Outcome, type PaymentRequirements, parsePrice, type Submission, type Verdict } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { encodeFunctionData, getAddress, getContractAddress, type Hex, parseAbi, serializeErc6492Signature } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EvmSigner, exactEvmClient, privateKeySigner } from '../client.ts'
import { evmChain, exactEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer } from '../server.ts'

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let facilitator: ReturnType<typeof exactEvmFacilitator>
let requests: string[] = []
let requirements: PaymentRequirements

const counted: typeof fetch = (input, init) => {
  requests.push(/"method":"(\w+)"/.exec(String(init?.body))?.[1] ?? '')
  return fetch(input, init)
}

beforeAll(async () => {
  local = await startEvmChain()
  chain = evmChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey], fetch: counted })
  facilitator = exactEvmFacilitator({ chain })
  await facilitator.start()
  const server = exactEvmServer({ network: local.network, payTo: local.seller.address })
  requirements = server.requirements({
    price: parsePrice('$0.01'),
    kind: facilitator.supported(),
    maxTimeoutSeconds: 300,
    flow: 'authorization',
  })
})
afterAll(() => local.stop())

const now = () => Date.now() / 1000
const buyer = () => privateKeySigner(local.buyer.privateKey)
const spare = (index: number) => privateKeySigner(local.accounts[4 + index]?.privateKey ?? '')
const signedBy = (address: string, owner: EvmSigner): EvmSigner => ({ ...owner, address })

type Terms = { readonly asked?: Partial<PaymentRequirements>; readonly random?: (bytes: Uint8Array) => Uint8Array; readonly at?: number }

async function pay(signer: EvmSigner, { asked, random, at = now() }: Terms = {}): Promise<Submission> {
  const terms = { ...requirements, ...asked }
  const client = exactEvmClient({ signer, ...(random === undefined ? {} : { random }) })
  const { payload } = await client.prepare(terms, { now: at, maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: terms, payload }, requirements: terms }
}

async function settle(submission: Submission, { by = facilitator, on = chain } = {}): Promise<{ outcome: Outcome; transaction: string }> {
  const mined = await mine(on, by.plan(submission))
  return { outcome: by.outcome(submission, mined), transaction: mined.transaction }
}

const reasonOf = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason)
const withSignature = (submission: Submission, signature: string): Submission => ({
  ...submission,
  payment: { ...submission.payment, payload: { ...submission.payment.payload, signature } },
})

describe('a payer with a key', () => {
  test('is verified in one round trip, and exactly the price moves', async () => {
    verifies(['EXACT-EVM', 'H24'])
    const before = [await local.balanceOf(local.buyer.address), await local.balanceOf(local.seller.address)] as const
    const submission = await pay(buyer())
    requests = []
    expect(await facilitator.verify(submission)).toEqual({
      valid: true,
      payer: local.buyer.address,
      funds: await local.balanceOf(local.buyer.address),
    })
    expect(requests).toEqual(['eth_call'])
    expect(facilitator.plan(submission)).toMatchObject([{ alone: false }])
    const { outcome, transaction } = await settle(submission)
    expect(outcome).toEqual({ status: 'settled', network: local.network, transaction, payer: local.buyer.address, amount: '10000' })
    expect(await local.balanceOf(local.buyer.address)).toBe(before[0] - 10_000n)
    expect(await local.balanceOf(local.seller.address)).toBe(before[1] + 10_000n)
  })

  test('settles in two requests once fees and gas are known', async () => {
    await settle(await pay(buyer()))
    const submission = await pay(buyer())
    await facilitator.verify(submission)
    const [signer = ''] = chain.signers
    const nonce = await chain.nonce(signer)
    requests = []
    const signed = await chain.sign(facilitator.plan(submission), { signer, nonce })
    await chain.send(signed)
    await chain.status(signed)
    expect(requests).toEqual(['eth_sendRawTransaction', 'eth_getTransactionReceipt'])
  })

  test('may be a viem account', async () => {
    const submission = await pay(privateKeyToAccount(local.buyer.privateKey))
    expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
    expect((await settle(submission)).outcome.status).toBe('settled')
  })

  test('whose v is 0 or 1 is paid by all the same', async () => {
    const submission = await pay(buyer())
    const signature = String(submission.payment.payload.signature)
    const small = withSignature(submission, signature.replace(/1b$/, '00').replace(/1c$/, '01'))
    expect(reasonOf(await facilitator.verify(small))).toBe('valid')
    expect((await settle(small)).outcome.status).toBe('settled')
  })

  test('a plan without a verdict trusts nobody: it goes alone and still settles', async () => {
    const submission = await pay(buyer())
    expect(facilitator.plan(submission)).toMatchObject([{ alone: true }])
    expect((await settle(submission)).outcome.status).toBe('settled')
  })
})

describe('refused without asking the chain', () => {
  const other = `0x${'12'.repeat(20)}`
  test.each<[string, (submission: Submission) => Submission]>([
    ['invalid_exact_evm_scheme', (s) => ({ ...s, requirements: { ...s.requirements, scheme: 'upto' } })],
    ['invalid_exact_evm_missing_eip712_domain', (s) => ({ ...s, requirements: { ...s.requirements, extra: {} } })],
    ['invalid_exact_evm_network_mismatch', (s) => ({ ...s, requirements: { ...s.requirements, network: 'eip155:8453' } })],
    ['invalid_exact_evm_recipient_mismatch', (s) => ({ ...s, requirements: { ...s.requirements, payTo: other } })],
    ['invalid_exact_evm_payload_authorization_value_mismatch', (s) => ({ ...s, requirements: { ...s.requirements, amount: '9999' } })],
    ['invalid_exact_evm_payload_authorization_valid_before', (s) => ({ ...s, requirements: { ...s.requirements, maxTimeoutSeconds: 10 } })],
    [
      'invalid_exact_evm_token_name_mismatch',
      (s) => ({ ...s, requirements: { ...s.requirements, extra: { name: 'USD Coin', version: '2' } } }),
    ],
    [
      'invalid_exact_evm_token_version_mismatch',
      (s) => ({ ...s, requirements: { ...s.requirements, extra: { name: 'USDC', version: '1' } } }),
    ],
    ['invalid_payment_requirements', (s) => ({ ...s, requirements: { ...s.requirements, asset: other } })],
    [
      'invalid_payment_requirements',
      (s) => ({
        payment: { ...s.payment, accepted: { ...s.payment.accepted, asset: other } },
        requirements: { ...s.requirements, asset: other },
      }),
    ],
    ['invalid_payload', (s) => ({ ...s, payment: { ...s.payment, payload: {} } })],
    ['invalid_exact_evm_signature', (s) => withSignature(s, `0x${'6492'.repeat(16)}`)],
  ])('%s', async (reason, change) => {
    const submission = change(await pay(buyer()))
    requests = []
    expect(reasonOf(await facilitator.verify(submission))).toBe(reason)
    expect(requests).toEqual([])
  })

  test('an authorization that has expired, or begins later', async () => {
    const late = await pay(buyer(), { at: now() - 300 })
    expect(reasonOf(await facilitator.verify(late))).toBe('invalid_exact_evm_payload_authorization_valid_before')
    const past = exactEvmFacilitator({ chain, now: () => -10 })
    const early = await pay(buyer(), { at: -10 })
    expect(reasonOf(await past.verify(early))).toBe('invalid_exact_evm_payload_authorization_valid_after')
  })
})

describe('refused by what the chain says', () => {
  test('a signature by somebody else', async () => {
    const forged = await pay(signedBy(local.buyer.address, spare(0)))
    requests = []
    expect(await facilitator.verify(forged)).toEqual({ valid: false, reason: 'invalid_exact_evm_signature', payer: local.buyer.address })
    expect(requests).toEqual(['eth_call'])
  })

  test('a changed amount, payee or nonce under the old signature', async () => {
    verifies('A26')
    const { payment } = await pay(buyer())
    const authorization = Object(payment.payload.authorization)
    for (const change of [{ value: '10001' }, { to: local.owner.address }, { nonce: `0x${'77'.repeat(32)}` }]) {
      const payload = { ...payment.payload, authorization: { ...authorization, ...change } }
      const asked = { ...requirements, amount: payload.authorization.value, payTo: payload.authorization.to }
      const verdict = await facilitator.verify({ payment: { ...payment, accepted: asked, payload }, requirements: asked })
      expect(reasonOf(verdict)).toBe('invalid_exact_evm_signature')
    }
  })

  test('the twin of a signature with s in the upper half', async () => {
    const submission = await pay(buyer())
    const signature = String(submission.payment.payload.signature)
    const s = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n - BigInt(`0x${signature.slice(66, 130)}`)
    const twin = `${signature.slice(0, 66)}${s.toString(16).padStart(64, '0')}${signature.endsWith('1b') ? '1c' : '1b'}`
    expect(reasonOf(await facilitator.verify(withSignature(submission, twin)))).toBe('invalid_exact_evm_signature')
  })

  test('a signature of another length', async () => {
    const submission = await pay(buyer())
    for (const signature of ['0x00', `0x${'11'.repeat(64)}`, `0x${'11'.repeat(66)}`]) {
      expect(reasonOf(await facilitator.verify(withSignature(submission, signature)))).toBe('invalid_exact_evm_signature')
    }
  })

  test('a payer who has too little', async () => {
    const poor = await pay(privateKeySigner(local.seller.privateKey), { asked: { amount: '999999999999' } })
    expect(reasonOf(await facilitator.verify(poor))).toBe('invalid_exact_evm_insufficient_balance')
  })

  test('a payment that was settled already; settling it again moves nothing and says so', async () => {
    const submission = await pay(buyer())
    await facilitator.verify(submission)
    await settle(submission)
    const before = await local.balanceOf(local.seller.address)
    await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toBe('invalid_exact_evm_nonce_already_used')
    const { outcome, transaction } = await settle(submission)
    expect(outcome).toEqual({
      status: 'notSettled',
      network: local.network,
      reason: 'invalid_exact_evm_transaction_failed',
      payer: local.buyer.address,
      transaction,
      retry: 'never',
      deadAfter: facilitator.key(submission.payment)?.deadAfter,
    })
    expect(await local.balanceOf(local.seller.address)).toBe(before)
  })

  test('a token that pays nobody, with the token’s own words', async () => {
    const blacklist = encodeFunctionData({ abi: parseAbi(['function blacklist(address account)']), args: [getAddress(spare(5).address)] })
    await local.rpc('eth_sendTransactionSync', [{ from: local.owner.address, to: local.usdc.address, data: blacklist }])
    const verdict = await facilitator.verify(await pay(spare(5)))
    expect(verdict).toMatchObject({
      reason: 'invalid_exact_evm_transaction_simulation_failed',
      message: 'Blacklistable: account is blacklisted',
    })
  })
})

test('a decoy with the same nonce proves nothing (M1)', async () => {
  verifies('M1')
  const random = (bytes: Uint8Array) => bytes.fill(0x5a)
  const real = await pay(buyer(), { random })
  const decoy = await pay(buyer(), { random, asked: { payTo: local.buyer.address } })
  expect(reasonOf(await facilitator.verify(real))).toBe('valid')
  const mined = await mine(chain, facilitator.plan(decoy))
  expect(facilitator.outcome(decoy, mined).status).toBe('settled')
  expect(facilitator.outcome(real, mined)).toMatchObject({
    status: 'notSettled',
    reason: 'invalid_exact_evm_transfer_event_mismatch',
    retry: 'never',
  })
  await expect.poll(async () => reasonOf(await facilitator.verify(real))).toBe('invalid_exact_evm_nonce_already_used')
})

test('events are read one against the next: a used nonce with somebody else’s transfer is no payment (M1)', async () => {
  verifies('M1')
  const first = await pay(buyer())
  const second = await pay(spare(0))
  await facilitator.verify(first)
  await facilitator.verify(second)
  const { transaction, status } = await mine(chain, [...facilitator.plan(first), ...facilitator.plan(second)])
  for (const submission of [first, second]) expect(facilitator.outcome(submission, { transaction, status }).status).toBe('settled')
  // The events of one payment without its own transfer, which the other's then follows.
  const [used, , ...others] = status.logs
  const torn = { ...status, logs: used === undefined ? [] : [used, ...others] }
  expect(facilitator.outcome(first, { transaction, status: torn }).status).toBe('notSettled')
  expect(facilitator.outcome(first, { transaction, status: { ...status, logs: [] } }).status).toBe('notSettled')
  const foreign = { ...status, logs: status.logs.map((log) => ({ ...log, address: `0x${'12'.repeat(20)}` })) }
  expect(facilitator.outcome(first, { transaction, status: foreign }).status).toBe('notSettled')
})

describe('a payer that is a contract', () => {
  test('pays by EIP-1271, alone in its transaction (M14)', async () => {
    verifies(['H20', 'H24', 'M14'])
    const wallet = await local.deploySmartAccount(getAddress(spare(0).address))
    const submission = await pay(signedBy(wallet, spare(0)))
    requests = []
    expect(await facilitator.verify(submission)).toMatchObject({ valid: true, payer: wallet })
    expect(requests).toEqual(['eth_call'])
    expect(facilitator.plan(submission)).toMatchObject([{ alone: true, data: expect.stringMatching(/^0xcf092995/) }])
    expect((await settle(submission)).outcome).toMatchObject({ status: 'settled', payer: wallet })
    await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toBe('invalid_exact_evm_nonce_already_used')
    expect(reasonOf(await facilitator.verify(await pay(signedBy(wallet, spare(1)))))).toBe('invalid_exact_evm_signature')
    const much = await pay(signedBy(wallet, spare(0)), { asked: { amount: '99999999999' } })
    expect(reasonOf(await facilitator.verify(much))).toBe('invalid_exact_evm_insufficient_balance')
  })

  test('that burns gas only when it is paid for is not sent (M14)', async () => {
    verifies(['M14', 'A7'])
    // Valid at gas price 0, an endless loop at any other: what a simulation sees is not what a transaction does.
    const bomb = getAddress(`0x${'b0'.repeat(20)}`)
    await local.rpc('anvil_setCode', [bomb, '0x3a601457631626ba7e60e01b60005260206000f35b601456'])
    await local.mint(bomb, 1_000_000n)
    const submission = await pay(signedBy(bomb, spare(0)))
    expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
    requests = []
    await expect(settle(submission)).rejects.toMatchObject({
      code: expect.stringMatching(/^evm\/(would-revert|gas-cap)$/),
      moneyMoved: 'no',
    })
    expect(requests).not.toContain('eth_sendRawTransaction')
  })

  test('with a key of its own and delegated code pays alone, if that code agrees (EIP-7702)', async () => {
    verifies(['H20', 'M14'])
    const [agrees, refuses] = [getAddress(`0x${'a1'.repeat(20)}`), getAddress(`0x${'a2'.repeat(20)}`)]
    await local.rpc('anvil_setCode', [agrees, acceptsAll])
    await local.rpc('anvil_setCode', [refuses, '0x60206000f3'])
    const payer = spare(1)
    await local.rpc('anvil_setCode', [payer.address, `0xef0100${agrees.slice(2)}`])
    const submission = await pay(payer)
    expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
    expect(facilitator.plan(submission)).toMatchObject([{ alone: true, data: expect.stringMatching(/^0xe3ee160e/) }])
    expect((await settle(submission)).outcome.status).toBe('settled')
    await local.rpc('anvil_setCode', [payer.address, `0xef0100${refuses.slice(2)}`])
    expect(reasonOf(await facilitator.verify(await pay(payer)))).toBe('invalid_exact_evm_transaction_simulation_failed')
  })
})

// Answers every call with the value of isValidSignature.
const acceptsAll = '0x631626ba7e60e01b60005260206000f3'

describe('a payer whose wallet is not deployed (ERC-6492)', () => {
  const factory = '0x4e59b44847b379578588920cA78FbF26c0B4956C'
  const creation: Hex = `0x6f${acceptsAll.slice(2)}60005260106010f3`

  async function undeployed(salt: string) {
    const data: Hex = `0x${salt.repeat(32)}${creation.slice(2)}`
    const wallet = getContractAddress({ opcode: 'CREATE2', from: factory, salt: `0x${salt.repeat(32)}`, bytecode: creation })
    await local.mint(wallet, 1_000_000n)
    const sign = async () => serializeErc6492Signature({ address: factory, data, signature: '0x1234' })
    return pay({ address: wallet, sign })
  }

  test('is refused, without asking the chain, unless its factory is allowed', async () => {
    verifies('A7')
    const submission = await undeployed('01')
    requests = []
    expect(reasonOf(await facilitator.verify(submission))).toBe('eip6492_factory_not_allowed')
    const elsewhere = exactEvmFacilitator({ chain, erc6492Factories: [`0x${'12'.repeat(20)}`] })
    expect(reasonOf(await elsewhere.verify(submission))).toBe('eip6492_factory_not_allowed')
    expect(requests).toEqual([])
  })

  test('is deployed and paid by in one transaction where it is', async () => {
    verifies(['H20', 'H24'])
    const open = exactEvmFacilitator({ chain, erc6492Factories: [factory.toLowerCase()] })
    await open.start()
    const submission = await undeployed('02')
    requests = []
    expect(reasonOf(await open.verify(submission))).toBe('valid')
    expect(requests).toEqual(['eth_call'])
    expect(open.plan(submission)).toMatchObject([{ target: factory.toLowerCase(), alone: true }, { alone: true }])
    expect((await settle(submission, { by: open })).outcome.status).toBe('settled')
    await expect.poll(async () => reasonOf(await open.verify(submission))).toBe('invalid_exact_evm_nonce_already_used')
  })

  test('whose factory deploys nothing is refused', async () => {
    const open = exactEvmFacilitator({ chain, erc6492Factories: [factory] })
    const sign = async () => serializeErc6492Signature({ address: factory, data: `0x${'03'.repeat(32)}fe`, signature: '0x1234' })
    const wallet = getAddress(`0x${'c3'.repeat(20)}`)
    await local.mint(wallet, 1_000_000n)
    expect(reasonOf(await open.verify(await pay({ address: wallet, sign })))).toBe('smart_wallet_deployment_failed')
  })
})

describe('many at once', () => {
  test('share a call, and each gets its own verdict', async () => {
    const good = await Promise.all(Array.from({ length: 20 }, () => pay(buyer())))
    const bad = await pay(privateKeySigner(local.seller.privateKey), { asked: { amount: '999999999999' } })
    requests = []
    const verdicts = await Promise.all([...good, bad].map((submission) => facilitator.verify(submission)))
    expect(verdicts.map(reasonOf)).toEqual([...good.map(() => 'valid'), 'invalid_exact_evm_insufficient_balance'])
    expect(requests).toEqual(['eth_call', 'eth_call'])
  })

  test('do not pay from each other’s money', async () => {
    const poor = privateKeySigner(`0x${'42'.repeat(32)}`)
    const [gift, spent] = [await pay(buyer(), { asked: { payTo: poor.address } }), await pay(poor)]
    const verdicts = await Promise.all([gift, spent].map((submission) => facilitator.verify(submission)))
    expect(verdicts.map(reasonOf)).toEqual(['valid', 'invalid_exact_evm_insufficient_balance'])
  })

  test('are not taken down by one that burns all gas', async () => {
    verifies('A7')
    const bomb = getAddress(`0x${'a3'.repeat(20)}`)
    const payer = spare(2)
    await local.rpc('anvil_setCode', [bomb, '0x5b600056'])
    await local.rpc('anvil_setCode', [payer.address, `0xef0100${bomb.slice(2)}`])
    const submissions = [await pay(payer), await pay(buyer()), await pay(spare(0))]
    const verdicts = await Promise.all(submissions.map((submission) => facilitator.verify(submission)))
    expect(verdicts.map(reasonOf)).toEqual(['invalid_exact_evm_transaction_simulation_failed', 'valid', 'valid'])
  })

  test('one that is aborted takes no other with it', async () => {
    const controller = new AbortController()
    const [first, second] = [await pay(buyer()), await pay(buyer())]
    const aborted = facilitator.verify(first, { signal: controller.signal })
    const other = facilitator.verify(second)
    await Promise.resolve()
    controller.abort(new Error('gone'))
    await expect(aborted).rejects.toThrow('gone')
    expect(reasonOf(await other)).toBe('valid')
  })
})

describe('start', () => {
  const wrong = (address: string, eip712: { name: string; version: string }) =>
    ({ network: 'eip155:84532', address, symbol: 'TOK', decimals: 6, transfer: 'eip3009', eip712 }) as const

  test('refuses a token whose own domain is another, and one that is not there', async () => {
    verifies('H20')
    const renamed = exactEvmFacilitator({ chain, assets: [wrong(local.usdc.address, { name: 'USDC', version: '3' })] })
    await expect(renamed.start()).rejects.toMatchObject({ code: 'config/domain-mismatch', message: expect.stringContaining('0x71f17a3b') })
    const absent = exactEvmFacilitator({ chain, assets: [wrong(`0x${'12'.repeat(20)}`, { name: 'T', version: '1' })] })
    await expect(absent.start()).rejects.toMatchObject({ code: 'config/no-token' })
  })

  test('an RPC that fails is an error and never a verdict', async () => {
    const down: typeof fetch = () => Promise.reject(new TypeError('no route'))
    const offline = evmChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey], fetch: down })
    const lost = exactEvmFacilitator({ chain: offline })
    await expect(lost.start()).rejects.toMatchObject({ code: 'evm/rpc', status: 503 })
    await expect(lost.verify(await pay(buyer()))).rejects.toMatchObject({ code: 'evm/rpc', moneyMoved: 'no' })
  })

  test('what is supported is the same at every call', () => {
    expect(facilitator.supported()).toEqual({ x402Version: 2, scheme: 'exact', network: 'eip155:84532' })
  })
})
