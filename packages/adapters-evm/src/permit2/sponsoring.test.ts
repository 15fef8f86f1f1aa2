import {
  type Asset,
  assetOf,
  type FacilitatorScheme,
  isX402Error,
  type Outcome,
  parsePrice,
  type Submission,
  type Verdict,
} from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import fc from 'fast-check'
import { encodeFunctionData, erc20Abi, maxUint256, parseAbi, parseSignature, type TransactionSerializableEIP1559 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '../client.ts'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer, uptoEvmServer } from '../server.ts'

// A chain on which there is a token with EIP-2612 and one without.
const network = 'eip155:1'
const [permitKey, approvalKey] = ['eip2612GasSponsoring', 'erc20ApprovalGasSponsoring']
const tenth = 10n ** 17n

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let house: Record<'exact' | 'upto', FacilitatorScheme>
let dai: Asset
let sent: string[] = []

const counted: typeof fetch = (input, init) => {
  sent.push(...(/eth_sendRawTransaction/.exec(String(init?.body)) ?? []))
  return fetch(input, init)
}

beforeAll(async () => {
  local = await startEvmChain({ network })
  const { rpcUrl, buyer } = local
  dai = assetOf(network, 'DAI')
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey], fetch: counted })
  house = { exact: exactEvmFacilitator({ chain, approvalWaitMs: 1000 }), upto: uptoEvmFacilitator({ chain, approvalWaitMs: 1000 }) }
  await house.exact.start()
  await local.mint(buyer.address, 10n ** 20n, { token: hex(dai.address) })
})
beforeEach(async () => {
  for (const token of [local.usdc.address, hex(dai.address)]) await approve(0n, token)
  sent = []
})
afterAll(() => local.stop())

const now = () => Math.floor(Date.now() / 1000)
const account = () => privateKeyToAccount(local.buyer.privateKey)
const reasonOf = (verdict: Verdict | undefined) => (verdict === undefined ? 'nothing to do' : verdict.valid ? 'valid' : verdict.reason)

type Signer = Parameters<typeof exactEvmClient>[0]['signer']
type Way = {
  readonly signer?: Signer
  readonly scheme?: 'exact' | 'upto'
  readonly asset?: string
  readonly maxApprovalFee?: bigint
  readonly offered?: readonly string[]
}

function sellerOf({ scheme = 'exact', asset = 'USDC' }: Way) {
  const { seller } = local
  return scheme === 'upto'
    ? uptoEvmServer({ network, payTo: seller.address, asset })
    : exactEvmServer({ network, payTo: seller.address, asset, transfer: 'permit2' })
}

/** What a payer makes of a 402 of this seller, without any approval of his own. */
async function pay(way: Way = {}): Promise<Submission> {
  const { scheme = 'exact', maxApprovalFee = tenth, offered = [permitKey, approvalKey] } = way
  const seller = sellerOf(way)
  const price = { price: parsePrice('$0.01'), kind: house[scheme].supported(), maxTimeoutSeconds: 300, flow: 'authorization' } as const
  const requirements = seller.requirements(price)
  const helps = (seller.extensions ?? []).filter(({ key }) => offered.includes(key))
  const declared = Object.fromEntries(helps.map(({ key, declare }) => [key, declare()]))
  const options = { rpcUrls: { [network]: local.rpcUrl }, maxApprovalFee }
  const signer = way.signer ?? privateKeySigner(local.buyer.privateKey)
  const client = scheme === 'upto' ? uptoEvmClient({ signer, ...options }) : exactEvmClient({ signer, methods: [permit2(options)] })
  const { payload, extensions = {} } = await client.prepare(requirements, { now: now(), maxTimeoutSeconds: 300, extensions: declared })
  const echo = Object.fromEntries(
    Object.entries(declared).map(([key, declaration]) => [key, { ...declaration, info: { ...declaration.info, ...extensions[key] } }]),
  )
  return { payment: { x402Version: 2, accepted: requirements, payload, extensions: echo }, requirements }
}

function infoOf({ payment }: Submission, key: string): Record<string, unknown> {
  return Object(payment.extensions?.[key]).info
}

function saying(submission: Submission, key: string, change: Record<string, unknown>): Submission {
  const extensions = { ...submission.payment.extensions, [key]: { info: { ...infoOf(submission, key), ...change } } }
  return { ...submission, payment: { ...submission.payment, extensions } }
}

async function approve(amount: bigint, token: `0x${string}`): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, amount] })
  await local.rpc('eth_sendTransactionSync', [{ from: local.buyer.address, to: token, data }])
}

async function settle(by: FacilitatorScheme, submission: Submission): Promise<Outcome> {
  return by.outcome(submission, await mine(chain, by.plan(submission)))
}

const earned = (asset = local.usdc.address) => local.balanceOf(local.seller.address, { token: asset })

test('a seller offers what the token has, in few words', () => {
  verifies('GAS-SPONSORING')
  const keysOf = (way: Way) => sellerOf(way).extensions?.map(({ key }) => key)
  expect([keysOf({}), keysOf({ asset: 'DAI' }), keysOf({ scheme: 'upto' })]).toEqual([
    [permitKey, approvalKey],
    [approvalKey],
    [permitKey, approvalKey],
  ])
  expect(exactEvmServer({ network, payTo: local.seller.address }).extensions).toBe(undefined)
  for (const { declare } of sellerOf({}).extensions ?? []) {
    expect(declare()).toEqual({ info: { description: expect.any(String), version: '1' } })
    expect(JSON.stringify(declare()).length).toBeLessThan(120)
  }
  expect(house.exact.extensions).toEqual([permitKey, approvalKey])
})

describe.each(['exact', 'upto'] as const)('%s without an approval', (scheme) => {
  test('is paid by an EIP-2612 permit of just this amount, in one transaction', async () => {
    verifies(['GAS-SPONSORING', 'H49'])
    const submission = await pay({ scheme })
    expect(infoOf(submission, permitKey)).toMatchObject({
      from: local.buyer.address,
      asset: local.usdc.address,
      spender: local.contracts.permit2,
      amount: '10000',
      deadline: String(Object(submission.payment.payload.permit2Authorization).deadline),
      version: '1',
    })
    expect(infoOf(submission, approvalKey)).not.toHaveProperty('signedTransaction')
    expect(reasonOf(await house[scheme].verify(submission))).toBe('valid')
    expect(reasonOf(await house[scheme].relay?.(submission))).toBe('nothing to do')
    expect(house[scheme].plan(submission)).toMatchObject([{ alone: true }])
    const before = await earned()
    expect(await settle(house[scheme], submission)).toMatchObject({ status: 'settled' })
    expect([(await earned()) - before, sent]).toEqual([10_000n, ['eth_sendRawTransaction']])
  })

  test('is paid by a signed approval, which goes first and costs the sponsor nothing', async () => {
    verifies(['GAS-SPONSORING', 'H49', 'M20'])
    const submission = await pay({ scheme, asset: 'DAI' })
    const { facilitator } = local
    const purse = await local.ethBalance(facilitator.address)
    expect(reasonOf(await house[scheme].verify(submission))).toBe('valid')
    expect(sent).toEqual([])
    expect(reasonOf(await house[scheme].relay?.(submission))).toBe('valid')
    expect([await local.ethBalance(facilitator.address), sent]).toEqual([purse, ['eth_sendRawTransaction']])
    expect(reasonOf(await house[scheme].relay?.(submission))).toBe('nothing to do')
    const before = await earned(hex(dai.address))
    expect(await settle(house[scheme], submission)).toMatchObject({ status: 'settled' })
    expect((await earned(hex(dai.address))) - before).toBe(10n ** 16n)
    // From now on Permit2 may take what he signs.
    expect(infoOf(await pay({ scheme, asset: 'DAI' }), approvalKey)).not.toHaveProperty('signedTransaction')
  })
})

describe('a payer signs nothing but his payment', () => {
  const needsApproval = { code: 'evm/approval-required', moneyMoved: 'no' }
  test.each<[string, Way]>([
    ['where the seller takes neither', { offered: [] }],
    ['where he did not say what an approval may cost', { asset: 'DAI', maxApprovalFee: 0n }],
    ['where an approval costs more than he said', { asset: 'DAI', maxApprovalFee: 70_000n }],
    ['where a permit is offered for a token without', { asset: 'DAI', offered: [permitKey] }],
  ])('%s', async (_, way) => {
    verifies(['GAS-SPONSORING', 'H49', 'H7'])
    await expect(pay(way)).rejects.toMatchObject(needsApproval)
  })

  test('where the offer names another domain than the token has', async () => {
    verifies('A17')
    const options = { rpcUrls: { [network]: local.rpcUrl } }
    const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), methods: [permit2(options)] })
    const { requirements } = await pay()
    const renamed = { ...requirements, extra: { ...requirements.extra, name: 'Dai' } }
    const extensions = { [permitKey]: { info: {} } }
    await expect(client.prepare(renamed, { now: now(), maxTimeoutSeconds: 300, extensions })).rejects.toMatchObject(needsApproval)
  })

  test('but by the typed data of his wallet, which signs no bare digest: a permit, and no transaction', async () => {
    verifies(['GAS-SPONSORING', 'H20'])
    const { address, signTypedData } = account()
    const signer: Signer = { address, signTypedData: (typed) => signTypedData({ ...typed, types: { ...typed.types } }) }
    const submission = await pay({ signer })
    expect(reasonOf(await house.exact.verify(submission))).toBe('valid')
    expect(await settle(house.exact, submission)).toMatchObject({ status: 'settled' })
    await expect(pay({ signer, asset: 'DAI' })).rejects.toMatchObject(needsApproval)
  })

  test('where he approved before, whatever is offered', async () => {
    await approve(10_000n, local.usdc.address)
    const { payment } = await pay()
    expect(Object.values(payment.extensions ?? {}).map((extension) => Object.keys(Object(extension).info))).toEqual([
      ['description', 'version'],
      ['description', 'version'],
    ])
    expect(reasonOf(await house.exact.verify(await pay()))).toBe('valid')
  })
})

describe('a permit', () => {
  test.each([
    ['invalid_eip2612_extension_format', { amount: 7 }],
    ['invalid_eip2612_extension_format', { signature: '0x12' }],
    ['eip2612_from_mismatch', { from: `0x${'12'.repeat(20)}` }],
    ['eip2612_asset_mismatch', { asset: `0x${'12'.repeat(20)}` }],
    ['eip2612_spender_not_permit2', { spender: `0x${'12'.repeat(20)}` }],
    ['eip2612_deadline_expired', { deadline: '1700000000' }],
    ['permit2_2612_amount_mismatch', { amount: '10001' }],
    ['permit2_allowance_required', { signature: `0x${'11'.repeat(64)}1b` }],
    ['permit2_allowance_required', { deadline: `${2n ** 40n}` }],
  ])('that is malformed or foreign is refused: %s', async (reason, change) => {
    verifies(['GAS-SPONSORING', 'ERROR-CODES'])
    expect(reasonOf(await house.exact.verify(saying(await pay(), permitKey, change)))).toBe(reason)
    expect(sent).toEqual([])
  })

  test('that a bystander uses first pays all the same', async () => {
    verifies(['GAS-SPONSORING', 'A8'])
    const submission = await pay()
    expect(reasonOf(await house.exact.verify(submission))).toBe('valid')
    const { amount, deadline, signature } = infoOf(submission, permitKey)
    const { r, s, v = 27n } = parseSignature(hex(String(signature)))
    const abi = parseAbi(['function permit(address, address, uint256, uint256, uint8, bytes32, bytes32)'])
    const args = [local.buyer.address, local.contracts.permit2, BigInt(String(amount)), BigInt(String(deadline)), Number(v), r, s] as const
    const data = encodeFunctionData({ abi, functionName: 'permit', args })
    await local.rpc('eth_sendTransactionSync', [{ from: local.owner.address, to: local.usdc.address, data }])
    await expect.poll(async () => reasonOf(await house.exact.verify(submission))).toBe('valid')
    const before = await earned()
    expect(await settle(house.exact, submission)).toMatchObject({ status: 'settled' })
    expect((await earned()) - before).toBe(10_000n)
  })

  test('is worth one payment: a second that was signed beside it moves nothing', async () => {
    verifies(['GAS-SPONSORING', 'M16'])
    const [one, two] = [await pay(), await pay()]
    expect([reasonOf(await house.exact.verify(one)), reasonOf(await house.exact.verify(two))]).toEqual(['valid', 'valid'])
    expect(await settle(house.exact, one)).toMatchObject({ status: 'settled' })
    await expect.poll(async () => reasonOf(await house.exact.verify(two))).toBe('permit2_allowance_required')
    sent = []
    await expect(settle(house.exact, two)).rejects.toMatchObject({ code: 'evm/would-revert', moneyMoved: 'no' })
    expect(sent).toEqual([])
  })
})

test('whatever stands in an extension is a verdict, and nothing is handed on', async () => {
  verifies('GAS-SPONSORING')
  const [good, other] = [await pay(), await pay({ asset: 'DAI' })]
  const { buyer, usdc, contracts } = local
  const said = fc.record(
    {
      from: fc.constantFrom(buyer.address, 'x'),
      asset: fc.constantFrom(usdc.address, dai.address),
      spender: fc.constantFrom(contracts.permit2, ''),
      amount: fc.oneof(fc.constant('10000'), fc.jsonValue()),
      deadline: fc.oneof(fc.constant(`${now() + 300}`), fc.jsonValue()),
      signature: fc.oneof(
        fc.uint8Array({ minLength: 65, maxLength: 65 }).map((bytes) => `0x${Buffer.from(bytes).toString('hex')}`),
        fc.jsonValue(),
      ),
      signedTransaction: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  const extension = fc.oneof(fc.jsonValue(), fc.record({ info: fc.oneof(said, fc.jsonValue()) }))
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(permitKey, approvalKey), extension, async (key, value) => {
      for (const { payment, requirements } of [good, other]) {
        const extensions = { ...payment.extensions, [permitKey]: null, [approvalKey]: null, [key]: value }
        const submission = { payment: { ...payment, extensions }, requirements }
        expect(await house.exact.verify(submission)).toMatchObject({ valid: false, reason: expect.any(String) })
        expect((await house.exact.relay?.(submission))?.valid ?? false).toBe(false)
      }
    }),
    { numRuns: 100 },
  )
  expect(sent).toEqual([])
})

describe('a signed approval', () => {
  /** The approval of a payment, signed by the payer's own key after a change. */
  async function approving(change: Partial<TransactionSerializableEIP1559>, by = account()): Promise<Submission> {
    const submission = await pay({ asset: 'DAI' })
    const nonce = Number(await local.rpc('eth_getTransactionCount', [local.buyer.address, 'latest']))
    const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, maxUint256] })
    const fees = { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n }
    const plain = { chainId: 1, nonce, gas: 70_000n, to: hex(dai.address), data, ...fees, type: 'eip1559' } as const
    const signedTransaction = await by.signTransaction({ ...plain, ...change })
    return saying(submission, approvalKey, { signedTransaction })
  }
  const calling = (functionName: 'approve' | 'transfer', spender: `0x${string}`, amount = maxUint256) => ({
    data: encodeFunctionData({ abi: erc20Abi, functionName, args: [spender, amount] }),
  })

  const dearly = async (made: () => Promise<Submission>) => {
    await local.rpc('anvil_setNextBlockBaseFeePerGas', [10n ** 9n])
    await local.mine()
    return made()
  }

  test('that any other signer library made is as good, in whichever case of hex', async () => {
    verifies(['GAS-SPONSORING', 'A4'])
    const submission = await approving({})
    expect(reasonOf(await house.exact.verify(submission))).toBe('valid')
    const signedTransaction = `0x${String(infoOf(submission, approvalKey).signedTransaction).slice(2).toUpperCase()}`
    const upper = saying(submission, approvalKey, { signedTransaction })
    expect(reasonOf(await house.exact.verify(upper))).toBe('valid')
    expect(reasonOf(await house.exact.relay?.(upper))).toBe('valid')
  })

  test.each<[string, () => Promise<Submission>]>([
    ['erc20_approval_tx_parse_failed', () => approving({ chainId: 8453 })],
    ['erc20_approval_tx_parse_failed', () => approving({ value: 1n })],
    ['erc20_approval_tx_parse_failed', () => approving({ accessList: [{ address: local.seller.address, storageKeys: [] }] })],
    ['erc20_approval_tx_wrong_target', () => approving({ to: local.usdc.address })],
    ['erc20_approval_tx_wrong_selector', () => approving(calling('transfer', local.contracts.permit2))],
    ['erc20_approval_tx_wrong_spender', () => approving(calling('approve', local.owner.address))],
    ['erc20_approval_tx_invalid_calldata', () => approving(calling('approve', local.contracts.permit2, 9n))],
    ['erc20_approval_tx_invalid_calldata', () => approving({ data: `${calling('approve', local.contracts.permit2).data}00` })],
    ['erc20_approval_tx_signer_mismatch', () => approving({}, privateKeyToAccount(local.owner.privateKey))],
    ['erc20_approval_tx_failed', () => approving({ nonce: 1_000_000 })],
    ['erc20_approval_tx_failed', () => approving({ gas: 30_000n })],
    ['erc20_approval_tx_failed', () => approving({ maxFeePerGas: 10n ** 18n })],
    ['erc20_approval_tx_failed', () => dearly(() => approving({ maxFeePerGas: 1n, maxPriorityFeePerGas: 1n }))],
  ])('of anything but this approval by this payer is not handed on: %s', async (reason, made) => {
    verifies(['GAS-SPONSORING', 'ERROR-CODES', 'A7'])
    expect(reasonOf(await house.exact.verify(await made()))).toBe(reason)
    expect(sent).toEqual([])
  })

  test.each([
    ['invalid_erc20_approval_extension_format', { signedTransaction: '0x2' }],
    ['invalid_erc20_approval_extension_format', { signedTransaction: `0x${'00'.repeat(600)}` }],
    ['erc20_approval_from_mismatch', { from: `0x${'12'.repeat(20)}` }],
    ['erc20_approval_asset_mismatch', { asset: `0x${'12'.repeat(20)}` }],
    ['erc20_approval_spender_not_permit2', { spender: `0x${'12'.repeat(20)}` }],
    ['erc20_approval_tx_parse_failed', { signedTransaction: '0x02' }],
  ])('that is malformed or foreign is refused: %s', async (reason, change) => {
    verifies(['GAS-SPONSORING', 'ERROR-CODES'])
    expect(reasonOf(await house.exact.verify(saying(await approving({}), approvalKey, change)))).toBe(reason)
  })

  test('of whatever bytes never throws past the verdict, and is never handed on', async () => {
    verifies('GAS-SPONSORING')
    const good = await approving({})
    const { signedTransaction } = infoOf(good, approvalKey)
    const bytes = hex(String(signedTransaction)).slice(2)
    const cut = fc.tuple(fc.nat(bytes.length / 2 - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
      const digits = (Number.parseInt(bytes.slice(2 * at, 2 * at + 2), 16) ^ by).toString(16).padStart(2, '0')
      return `0x${bytes.slice(0, 2 * at)}${digits}${bytes.slice(2 * at + 2)}`
    })
    const anything = fc.uint8Array({ maxLength: 400 }).map((some) => `0x02${Buffer.from(some).toString('hex')}`)
    await fc.assert(
      fc.asyncProperty(fc.oneof(cut, anything, fc.jsonValue()), async (signed) => {
        const verdict = await house.exact.verify(saying(good, approvalKey, { signedTransaction: signed }))
        expect(reasonOf(verdict)).toMatch(/erc20_approval|permit2_allowance_required/)
      }),
      { numRuns: 150 },
    )
    expect(sent).toEqual([])
  })

  test('that a bystander sends first, or that comes twice at once, pays once', async () => {
    verifies(['GAS-SPONSORING', 'A8'])
    const submission = await approving({})
    await local.rpc('eth_sendRawTransaction', [infoOf(submission, approvalKey).signedTransaction])
    await expect.poll(async () => reasonOf(await house.exact.relay?.(submission))).toBe('nothing to do')
    expect(await settle(house.exact, submission)).toMatchObject({ status: 'settled' })
    await approve(0n, hex(dai.address))
    const again = await approving({})
    const both = await Promise.all([house.exact.relay?.(again), house.exact.relay?.(again)])
    expect(both.map(reasonOf).filter((reason) => reason !== 'nothing to do' && reason !== 'valid')).toEqual([])
    expect(await settle(house.exact, again)).toMatchObject({ status: 'settled' })
  })

  test('whose number its payer gives to something else costs the sponsor nothing', async () => {
    verifies(['GAS-SPONSORING', 'A9'])
    const submission = await approving({})
    expect(reasonOf(await house.exact.verify(submission))).toBe('valid')
    const purse = await local.ethBalance(local.facilitator.address)
    await approve(0n, hex(dai.address))
    expect(reasonOf(await house.exact.relay?.(submission))).toBe('erc20_approval_broadcast_failed')
    await expect.poll(async () => reasonOf(await house.exact.verify(submission))).toBe('erc20_approval_tx_failed')
    expect(await local.ethBalance(local.facilitator.address)).toBe(purse)
  })

  test('that no block takes is waited for only so long', async () => {
    verifies('GAS-SPONSORING')
    const submission = await approving({})
    await local.rpc('evm_setAutomine', [false])
    try {
      expect(reasonOf(await house.exact.relay?.(submission))).toBe('erc20_approval_tx_failed')
    } finally {
      await local.rpc('evm_setAutomine', [true])
      await local.mine()
    }
    await expect.poll(async () => reasonOf(await house.exact.relay?.(submission))).toBe('nothing to do')
  })
})

test('a token that counts no permits has none, which is no failure', async () => {
  const broken: typeof fetch = (input, init) => {
    const asks = String(init?.body).includes('0x7ecebe00')
    return asks ? Promise.resolve(Response.json({ error: { message: 'execution reverted' } })) : fetch(input, init)
  }
  const options = { rpcUrls: { [network]: local.rpcUrl }, fetch: broken }
  const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), methods: [permit2(options)] })
  const { requirements } = await pay()
  const extensions = { [permitKey]: { info: {} } }
  const preparing = client.prepare(requirements, { now: now(), maxTimeoutSeconds: 300, extensions })
  await expect(preparing).rejects.toSatisfy((error) => isX402Error(error, 'evm/approval-required'))
})

function hex(text: string): `0x${string}` {
  return `0x${text.slice(2)}`
}
