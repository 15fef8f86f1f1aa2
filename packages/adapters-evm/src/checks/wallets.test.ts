import type { PaymentRequirements, Submission, Verdict } from '@flow402x/core'
import { parsePrice } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { delegatedAccount, hostileAccount, smartWallet, walletFactory } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { whenMined } from '@flow402x/testing/suites'
import {
  type Address,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  encodePacked,
  erc20Abi,
  getAddress,
  type Hex,
  http,
  maxUint256,
  parseEventLogs,
  serializeErc6492Signature,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { multicall3 } from '../chain/abi.ts'
import { type EvmSigner, exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '../client.ts'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer, uptoEvmServer } from '../server.ts'

const factory = getAddress(`0x${'fa'.repeat(20)}`)
const delegate = getAddress(`0x${'de'.repeat(20)}`)
const maxGas = 1_000_000n

let local: LocalChain
let chain: ReturnType<typeof evmChain>
let sent: string[] = []

const counted: typeof fetch = (input, init) => {
  sent.push(...(/eth_sendRawTransaction/.exec(String(init?.body)) ?? []))
  return fetch(input, init)
}

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl, rpc, facilitator } = local
  await rpc('anvil_setCode', [factory, walletFactory.code])
  await rpc('anvil_setCode', [delegate, delegatedAccount.code])
  const signers = [facilitator.privateKey]
  chain = evmChain({ network, rpcUrl, signers, confirmations: 0n, maxGasPerPayment: maxGas, fetch: counted })
})
afterAll(() => local.stop())

const now = () => Math.floor(Date.now() / 1000)
const reasonOf = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason)

/** The roles of each way to pay, and how a payer without a key must have prepared for it. */
const ways = {
  'exact by EIP-3009': () => ({
    client: (signer: EvmSigner) => exactEvmClient({ signer }),
    server: exactEvmServer({ ...seat(), confirmations: 0n }),
    facilitator: exactEvmFacilitator({ chain, erc6492Factories: [factory] }),
  }),
  'exact by Permit2': () => ({
    client: (signer: EvmSigner) => exactEvmClient({ signer, methods: [permit2()] }),
    server: exactEvmServer({ ...seat(), transfer: 'permit2', confirmations: 0n }),
    facilitator: exactEvmFacilitator({ chain, erc6492Factories: [factory] }),
  }),
  upto: () => ({
    client: (signer: EvmSigner) => uptoEvmClient({ signer }),
    server: uptoEvmServer({ ...seat(), confirmations: 0n }),
    facilitator: uptoEvmFacilitator({ chain }),
  }),
}
type Way = keyof typeof ways
// Its keys are those of the object above.
const everyWay = Object.keys(ways) as Way[]

function seat() {
  const { network, rpcUrl, seller } = local
  return { network, rpcUrl, payTo: seller.address }
}

async function pay(way: Way, signer: EvmSigner, change: Partial<PaymentRequirements> = {}) {
  const { client, server, facilitator } = ways[way]()
  await facilitator.start()
  const price = { price: parsePrice('$0.01'), kind: facilitator.supported(), maxTimeoutSeconds: 300, flow: 'authorization' } as const
  const requirements = { ...server.requirements(price), ...change }
  const { payload, key } = await client(signer).prepare(requirements, { now: now(), maxTimeoutSeconds: 300 })
  const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
  return { submission, key, server, facilitator }
}
type Paying = Awaited<ReturnType<typeof pay>>

async function sign({ facilitator, submission }: Paying) {
  const [signer = ''] = chain.signers
  return chain.sign(facilitator.plan(submission), { signer, nonce: await chain.nonce(signer) })
}

async function send({ facilitator, submission }: Paying, signed: Awaited<ReturnType<typeof sign>>) {
  await chain.send(signed)
  const mined = await whenMined(chain, signed)
  return { outcome: facilitator.outcome(submission, mined), transaction: mined.transaction }
}

async function act(from: Address, to: Address, data: Hex): Promise<void> {
  await local.rpc('anvil_impersonateAccount', [from])
  await local.rpc('anvil_setBalance', [from, 10n ** 18n])
  await local.rpc('eth_sendTransactionSync', [{ from, to, data, gas: 2_000_000n }])
}

const earned = () => local.balanceOf(local.seller.address)
const approval = () => encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, maxUint256] })
const approving = () => ({ target: local.usdc.address, data: approval() })

type Call = { readonly target: Address; readonly data: Hex }

/** A wallet of the factory, at the address that it has before it is there. */
async function counterfactual(first: readonly Call[] = []) {
  const key = privateKeyToAccount(generatePrivateKey())
  const salt: Hex = `0x${'00'.repeat(32)}`
  const data = encodeFunctionData({ abi: walletFactory.abi, functionName: 'make', args: [key.address, salt, [...first]] })
  const asked = encodeFunctionData({ abi: walletFactory.abi, functionName: 'addressOf', args: [key.address, salt] })
  const address = getAddress(`0x${String(await local.rpc('eth_call', [{ to: factory, data: asked }, 'latest'])).slice(26)}`)
  await local.mint(address, 1_000_000n)
  const signature = (hash: Hex) => key.sign({ hash })
  const wrapped: EvmSigner = {
    address,
    sign: async ({ hash }) => serializeErc6492Signature({ address: factory, data, signature: await signature(hash) }),
  }
  return { address, data, wrapped, plain: { address, sign: ({ hash }: { hash: Hex }) => signature(hash) } satisfies EvmSigner }
}

async function deployed(): Promise<EvmSigner> {
  const { data, plain } = await counterfactual([approving()])
  await act(local.owner.address, factory, data)
  return plain
}

/** A key account that delegates to code by a real set-code transaction (EIP-7702). */
async function delegated() {
  const account = privateKeyToAccount(generatePrivateKey())
  const { rpcUrl, chainId } = local
  const nativeCurrency = { name: 'Ether', symbol: 'ETH', decimals: 18 }
  const here = defineChain({ id: chainId, name: 'local', nativeCurrency, rpcUrls: { default: { http: [rpcUrl] } } })
  const wallet = createWalletClient({ account, chain: here, transport: http(rpcUrl) })
  await local.rpc('anvil_setBalance', [account.address, 10n ** 18n])
  const authorization = await account.signAuthorization({ address: delegate, chainId, nonce: 1 })
  await wallet.sendTransaction({ to: local.usdc.address, data: approval(), authorizationList: [authorization] })
  await local.mint(account.address, 1_000_000n)
  await expect.poll(() => local.rpc('eth_getCode', [account.address, 'latest'])).toMatch(/^0xef0100/)
  return account
}

const wallets: Record<string, () => Promise<EvmSigner>> = {
  'a contract (EIP-1271)': deployed,
  'a key with delegated code (EIP-7702)': delegated,
  'the second key of delegated code': async () => {
    const { address } = await delegated()
    const second = privateKeyToAccount(generatePrivateKey())
    const args = [second.address] as const
    await act(address, address, encodeFunctionData({ abi: delegatedAccount.abi, functionName: 'appoint', args }))
    return { address, sign: async ({ hash }) => encodePacked(['bytes', 'uint8'], [await second.sign({ hash }), 1]) }
  },
}

describe.each(everyWay)('%s', (way) => {
  test.each(Object.keys(wallets))('is paid by %s, alone in its transaction', async (name) => {
    verifies(['H20', 'M14', 'H24'])
    const signer = await wallets[name]?.()
    if (signer === undefined) throw new TypeError('no such wallet')
    const paying = await pay(way, signer)
    const { submission, key, server, facilitator } = paying
    expect([server.key(submission.payment), facilitator.key(submission.payment)]).toEqual([key, key])
    expect(server.check(submission, { now: now() })).toMatchObject({ valid: true, payer: signer.address })
    expect(await facilitator.verify(submission)).toMatchObject({ valid: true, payer: signer.address, funds: 1_000_000n })
    expect(facilitator.plan(submission)).toMatchObject([{ alone: true }])
    const before = await earned()
    const { outcome, transaction } = await send(paying, await sign(paying))
    expect(outcome).toMatchObject({ status: 'settled', payer: signer.address, amount: '10000' })
    expect((await earned()) - before).toBe(10_000n)
    await expect.poll(() => server.look?.(submission)).toMatchObject({ status: 'settled', transaction })
    expect(await facilitator.look?.(submission)).toMatchObject({ status: 'settled', transaction })
    await expect.poll(async () => reasonOf(await facilitator.verify(submission))).toMatch(/nonce/)
    const forged = await pay(way, { ...privateKeySigner(generatePrivateKey()), address: signer.address })
    expect(reasonOf(await facilitator.verify(forged.submission))).toMatch(/signature|simulation/)
  })

  test('is paid by a key in whichever form its signature has that the contracts take', async () => {
    verifies(['A4', 'H20'])
    await act(local.buyer.address, local.usdc.address, approval())
    const key = privateKeySigner(local.buyer.privateKey)
    const forms: [string, (signature: Hex) => Hex][] = [
      ['v of 0 or 1', (signature) => `0x${signature.slice(2, 130)}${signature.endsWith('1b') ? '00' : '01'}`],
      ['64 bytes (EIP-2098)', (signature) => compact(signature)],
    ]
    for (const [form, change] of forms) {
      const paying = await pay(way, key)
      const { payment } = paying.submission
      const signature = change(`0x${String(payment.payload.signature).slice(2)}`)
      const submission = { ...paying.submission, payment: { ...payment, payload: { ...payment.payload, signature } } }
      expect(paying.facilitator.key(submission.payment)).toEqual(paying.key)
      const verdict = reasonOf(await paying.facilitator.verify(submission))
      // The token itself takes 65 bytes from a key, and Permit2 either.
      const isTaken = form === 'v of 0 or 1' || way !== 'exact by EIP-3009'
      expect([form, verdict]).toEqual([form, isTaken ? 'valid' : 'invalid_exact_evm_signature'])
      if (isTaken) expect((await send({ ...paying, submission }, await sign({ ...paying, submission }))).outcome.status).toBe('settled')
    }
  })
})

function compact(signature: Hex): Hex {
  const s = BigInt(`0x${signature.slice(66, 130)}`) + (signature.endsWith('1c') ? 1n << 255n : 0n)
  return `0x${signature.slice(2, 66)}${s.toString(16).padStart(64, '0')}`
}

describe('a wallet that is not there yet (ERC-6492)', () => {
  const made = async (transaction: string) => {
    const receipt = Object(await local.rpc('eth_getTransactionReceipt', [transaction]))
    return parseEventLogs({ abi: walletFactory.abi, logs: receipt.logs })[0]?.args
  }

  test('is made and pays in one transaction, in which no key of the facilitator is the caller', async () => {
    verifies(['H20', 'A7', 'M20'])
    const { address, wrapped, plain } = await counterfactual([approving()])
    const paying = await pay('exact by EIP-3009', wrapped)
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    const before = await earned()
    const { outcome, transaction } = await send(paying, await sign(paying))
    expect([outcome.status, (await earned()) - before]).toEqual(['settled', 10_000n])
    expect(await made(transaction)).toMatchObject({ by: multicall3, payingGas: local.facilitator.address })
    // From then on it is a contract like any other, and pays in every way.
    for (const way of everyWay) {
      const next = await pay(way, plain)
      await expect.poll(async () => reasonOf(await next.facilitator.verify(next.submission))).toBe('valid')
      expect((await send(next, await sign(next))).outcome).toMatchObject({
        status: 'settled',
        payer: address,
      })
    }
  })

  test.each(['exact by Permit2', 'upto'] as const)('does not pay %s, whatever its factory would run', async (way) => {
    verifies(['A7', 'M16'])
    const { submission, facilitator } = await pay(way, (await counterfactual([approving()])).wrapped)
    sent = []
    expect(reasonOf(await facilitator.verify(submission))).toBe('invalid_permit2_signature')
    expect(() => facilitator.plan(submission)).toThrow()
    expect(sent).toEqual([])
  })

  test('that a stranger makes first pays all the same', async () => {
    verifies(['A8', 'M20'])
    const { data, wrapped } = await counterfactual()
    const paying = await pay('exact by EIP-3009', wrapped)
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    await act(local.owner.address, factory, data)
    await expect.poll(async () => reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    expect((await send(paying, await sign(paying))).outcome.status).toBe('settled')
  })

  test.each<[string, () => Promise<readonly Call[]>]>([
    ['the money of who pays its gas', async () => [taking(local.facilitator.address)]],
    ['the money of the caller', async () => [taking(multicall3)]],
    ['its own money away', async () => [leaving()]],
    ['all the gas', async () => [{ target: await hostile('BurnsGas'), data: asking }]],
  ])('whose making would take %s is refused, and nothing is sent', async (_, first) => {
    verifies(['A7', 'M14'])
    const { wrapped } = await counterfactual(await first())
    const { submission, facilitator } = await pay('exact by EIP-3009', wrapped)
    sent = []
    expect(reasonOf(await facilitator.verify(submission))).toMatch(/smart_wallet_deployment_failed|simulation_failed/)
    expect(sent).toEqual([])
  })

  test('whose making burns gas only when it is paid for is not sent', async () => {
    verifies(['A7', 'M14'])
    const { wrapped } = await counterfactual([{ target: await hostile('BurnsGasWhenPaidFor'), data: asking }])
    const paying = await pay('exact by EIP-3009', wrapped)
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    sent = []
    await expect(sign(paying)).rejects.toMatchObject({ code: 'evm/would-revert', moneyMoved: 'no', retry: 'never' })
    expect(sent).toEqual([])
  })

  const taking = (who: Address): Call => {
    const args = [who, local.owner.address, 1n] as const
    return { target: local.usdc.address, data: encodeFunctionData({ abi: erc20Abi, functionName: 'transferFrom', args }) }
  }
  const leaving = (): Call => {
    const args = [local.owner.address, 1_000_000n] as const
    return { target: local.usdc.address, data: encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args }) }
  }
})

const hostileWays = ['AcceptsAll', 'Reverts', 'BurnsGas', 'BurnsGasWhenPaidFor', 'ReturnsMuch', 'Reenters'] as const
type HostileWay = (typeof hostileWays)[number]
const asking = encodeFunctionData({ abi: hostileAccount.abi, functionName: 'isValidSignature', args: [`0x${'00'.repeat(32)}`, '0x'] })
let accounts = 0

async function become(address: Address, way: HostileWay, target: Address = multicall3, data: Hex = '0x'): Promise<void> {
  const args = [hostileWays.indexOf(way), target, data] as const
  await act(local.owner.address, address, encodeFunctionData({ abi: hostileAccount.abi, functionName: 'become', args }))
}

async function hostile(way: HostileWay): Promise<Address> {
  accounts += 1
  const address = getAddress(`0xbad${String(accounts).padStart(37, '0')}`)
  await local.rpc('anvil_setCode', [address, hostileAccount.code])
  await become(address, way)
  await local.mint(address, 1_000_000n)
  await act(address, local.usdc.address, approval())
  return address
}

const anySignature = (address: Address): EvmSigner => ({ address, sign: async () => `0x${'17'.repeat(65)}` })

describe.each(everyWay)('an account that means harm, paying %s', (way) => {
  test.each([
    ['accepts whatever signature', 'AcceptsAll'],
    ['settles itself while it is only asked', 'Reenters'],
  ] as const)('and %s pays with its own money, once', async (_, harm) => {
    verifies(['M14', 'H20'])
    const address = await hostile(harm)
    const paying = await pay(way, anySignature(address))
    const [settlement] = paying.facilitator.plan(paying.submission)
    await become(address, harm, hex(settlement?.target), hex(settlement?.data))
    const verdict = await paying.facilitator.verify(paying.submission)
    // The token asks it again and again, until the gas is gone; Permit2 and its proxies let nobody in twice.
    const isEndless = harm === 'Reenters' && way === 'exact by EIP-3009'
    expect(reasonOf(verdict)).toBe(isEndless ? 'invalid_exact_evm_transaction_simulation_failed' : 'valid')
    if (isEndless) return
    expect(paying.facilitator.plan(paying.submission)).toMatchObject([{ alone: true }])
    const before = await earned()
    expect((await send(paying, await sign(paying))).outcome.status).toBe('settled')
    expect([(await earned()) - before, await local.balanceOf(address)]).toEqual([10_000n, 990_000n])
  })

  test.each([
    ['reverts', 'Reverts'],
    ['burns all gas', 'BurnsGas'],
  ] as const)('and %s is refused, and takes nobody down with it', async (_, harm) => {
    verifies(['M14', 'A7'])
    const bad = await pay(way, anySignature(await hostile(harm)))
    const good = await pay(way, privateKeySigner(local.buyer.privateKey))
    const { facilitator } = bad
    sent = []
    const verdicts = await Promise.all([bad, good, good].map(({ submission }) => facilitator.verify(submission)))
    expect(verdicts.map(reasonOf)).toEqual([expect.stringMatching(/signature|simulation_failed/), 'valid', 'valid'])
    expect(sent).toEqual([])
  })

  test('and burns gas only when it is paid for is not sent', async () => {
    verifies(['M14', 'A7'])
    const paying = await pay(way, anySignature(await hostile('BurnsGasWhenPaidFor')))
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    sent = []
    const refused = { code: expect.stringMatching(/^evm\/(would-revert|gas-cap)$/), moneyMoved: 'no', retry: 'never' }
    await expect(sign(paying)).rejects.toMatchObject(refused)
    expect(sent).toEqual([])
  })

  test('and answers with far too much costs no more than the cap', async () => {
    verifies(['M14', 'A7'])
    const paying = await pay(way, anySignature(await hostile('ReturnsMuch')))
    const verdict = await paying.facilitator.verify(paying.submission)
    if (!verdict.valid) return expect(verdict.reason).toMatch(/signature|simulation_failed/)
    const signed = await sign(paying)
    const { transaction } = await send(paying, signed)
    const { gasUsed } = Object(await local.rpc('eth_getTransactionReceipt', [transaction]))
    expect(BigInt(gasUsed)).toBeLessThanOrEqual(maxGas)
  })

  test('and changes its mind after the verdict is not sent, or moves nothing and says so', async () => {
    verifies(['M14', 'A9', 'M3'])
    const address = await hostile('AcceptsAll')
    const [first, second] = [await pay(way, anySignature(address)), await pay(way, anySignature(address))]
    for (const { facilitator, submission } of [first, second]) expect(reasonOf(await facilitator.verify(submission))).toBe('valid')
    const signed = await sign(second)
    await become(address, 'Reverts')
    sent = []
    await expect(sign(first)).rejects.toMatchObject({ code: 'evm/would-revert', moneyMoved: 'no' })
    expect(sent).toEqual([])
    const before = await earned()
    const { outcome } = await send(second, signed)
    expect(outcome).toMatchObject({ status: 'notSettled', retry: 'never', deadAfter: second.key.deadAfter })
    expect([await earned(), await second.server.look?.(second.submission)]).toEqual([
      before,
      expect.objectContaining({ status: 'pending' }),
    ])
  })

  test('and moves its money after the verdict is not sent', async () => {
    verifies(['A9', 'M14'])
    const address = await hostile('AcceptsAll')
    const paying = await pay(way, anySignature(address))
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toBe('valid')
    const args = [local.owner.address, 1_000_000n] as const
    await act(address, local.usdc.address, encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args }))
    await expect(sign(paying)).rejects.toMatchObject({ code: 'evm/would-revert', moneyMoved: 'no' })
    expect(reasonOf(await paying.facilitator.verify(paying.submission))).toMatch(/insufficient_balance/)
  })
})

test('the factory of these tests makes the wallet that is used here', () => {
  expect(walletFactory.code).toContain(smartWallet.code.slice(2, 400))
})

function hex(text = '0x'): Hex {
  return `0x${text.slice(2)}`
}
