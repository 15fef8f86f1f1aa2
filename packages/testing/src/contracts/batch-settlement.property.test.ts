import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import {
  type Address,
  createPublicClient,
  defineChain,
  encodeFunctionData,
  erc20Abi,
  type Hex,
  http,
  maxUint256,
  toHex,
  zeroAddress,
} from 'viem'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type DevelopmentAccount, developmentAccounts } from '../chains/accounts.ts'
import { type EvmChain, startEvmChain } from '../chains/evm-chain.ts'
import { multicall3Address } from '../chains/multicall3.ts'
import { batchSettlement } from './artifacts.ts'
import { type Call, caller } from './caller.ts'
import { batchSignature, type ChannelConfig, channelIdOf, eip3009Deposit, permit2Deposit } from './signing.ts'

// Whatever anybody sends, in whatever order: the escrow answers, counts and pays as a few lines of arithmetic say.

const { abi } = batchSettlement
/** Every delay is a whole number of these, so the seconds that the test itself takes decide nothing. */
const tick = 450

/** A choice that is repeated is likelier: a run of refusals alone would show little. */
const pick = <const Choices extends readonly string[]>(...choices: Choices): fc.Arbitrary<Choices[number]> => fc.constantFrom(...choices)
const channel = fc.nat({ max: 5 })
const amount = fc.bigInt({ min: 0n, max: 60n })
const payerSide = pick('payer', 'payer', 'payer', 'payerAuthorizer', 'receiver', 'stranger')
const receiverSide = pick('receiver', 'receiverAuthorizer', 'receiverAuthorizer', 'payer', 'stranger')
const rowSigned = pick('as sent', 'by a stranger', 'for another channel', 'for another chain', 'for another token', 'for less')
const row = fc.record({
  channel,
  max: fc.bigInt({ min: 30n, max: 120n }),
  claimed: fc.bigInt({ min: 0n, max: 80n }),
  signed: fc.oneof({ weight: 15, arbitrary: fc.constant('as sent' as const) }, { weight: 1, arbitrary: rowSigned }),
})
const signatures = pick(...Array<'signature'>(9).fill('signature'), 'signature of a stranger', 'signature of other rows')
const likely = <Fields extends object>(weight: number, fields: { [Key in keyof Fields]: fc.Arbitrary<Fields[Key]> }) => ({
  weight,
  arbitrary: fc.record(fields),
})
const step = fc.oneof(
  likely(5, {
    do: pick('deposit'),
    channel,
    amount,
    through: pick('eip3009', 'permit2'),
    signed: pick('as sent', 'as sent', 'as sent', 'for another channel', 'for less'),
  }),
  likely(6, { do: pick('claim'), rows: fc.oneof(fc.tuple(row), fc.array(row, { maxLength: 3 })), by: fc.oneof(signatures, receiverSide) }),
  likely(2, { do: pick('settle'), receiver: fc.nat({ max: 1 }) }),
  likely(3, { do: pick('withdraw'), channel, amount, by: payerSide }),
  likely(4, { do: pick('finalize'), channel, by: payerSide }),
  likely(2, { do: pick('refund'), channel, amount, by: receiverSide }),
  likely(2, {
    do: pick('refund by signature'),
    channel,
    amount,
    signed: pick('as sent', 'as sent', 'as sent', 'by a stranger', 'for another channel', 'for the next time'),
  }),
  likely(2, { do: pick('again'), which: fc.nat() }),
  likely(3, { do: pick('wait') }),
)
type Step = typeof step extends fc.Arbitrary<infer One> ? One : never
type Do<Kind extends Step['do']> = Extract<Step, { do: Kind }>

/** One channel and who holds its keys. */
type Channel = { id: Hex; config: ChannelConfig; key: Hex; payerKey: Hex; authorizerKey: Hex }
/** What the escrow should hold, by the numbers of the channels and receivers. */
type Books = {
  channels: { balance: bigint; claimed: bigint; refunds: bigint; withdrawal: { amount: bigint; ticks: number } | undefined }[]
  receivers: { claimed: bigint; settled: bigint }[]
  wallets: Map<Address, bigint>
  /** What went through once, and what it is answered with when it is sent again. */
  sent: { call: Call; answer: string }[]
  nonces: bigint
}
/** A transaction with the answer it must get; `effect` is what it does to the books. */
type Move = { call: Call; answer: string; effect?: () => void; again?: string }

let chain: EvmChain
let send: Awaited<ReturnType<typeof caller>>
let channels: Channel[]
let receivers: Address[]
let stranger: DevelopmentAccount
let opening: Books
let before: Books['wallets']
let client: ReturnType<typeof reader>

beforeAll(async () => {
  chain = await startEvmChain()
  send = await caller(chain)
  const [owner, facilitator, seller, alice, bob, carol, voucherKey, authorizer, other] = developmentAccounts
  if (!owner || !facilitator || !seller || !alice || !bob || !carol || !voucherKey || !authorizer || !other)
    throw new TypeError('too few accounts')
  stranger = facilitator
  receivers = [seller.address, owner.address]
  const wallet = await chain.deploySmartAccount(carol.address)
  await chain.rpc('anvil_setBalance', [wallet, 10n ** 20n])
  for (const from of [alice.address, bob.address, wallet]) {
    const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [chain.contracts.permit2, maxUint256] })
    expect(await send({ from, to: chain.usdc.address, data })).toMatchObject({ result: 'done' })
  }
  const open = (
    payer: Address,
    keys: { signer: DevelopmentAccount; payer: DevelopmentAccount },
    terms: Partial<ChannelConfig>,
  ): Channel => {
    const config = {
      payer,
      payerAuthorizer: keys.signer.address,
      receiver: seller.address,
      receiverAuthorizer: authorizer.address,
      token: chain.usdc.address,
      withdrawDelay: 2 * tick,
      salt: toHex(0, { size: 32 }),
      ...terms,
    }
    const authorizerKey = config.receiverAuthorizer === other.address ? other.privateKey : authorizer.privateKey
    return { id: channelIdOf(chain.chainId, config), config, key: keys.signer.privateKey, payerKey: keys.payer.privateKey, authorizerKey }
  }
  channels = [
    open(alice.address, { signer: alice, payer: alice }, {}),
    open(alice.address, { signer: alice, payer: alice }, { salt: toHex(1, { size: 32 }) }),
    open(alice.address, { signer: voucherKey, payer: alice }, { withdrawDelay: 3 * tick, receiver: owner.address }),
    open(bob.address, { signer: bob, payer: bob }, { payerAuthorizer: zeroAddress, receiverAuthorizer: other.address }),
    open(wallet, { signer: carol, payer: carol }, { payerAuthorizer: zeroAddress }),
    open(wallet, { signer: voucherKey, payer: carol }, { receiver: owner.address, receiverAuthorizer: other.address }),
  ]
  client = reader(chain)
  before = (await held()).wallets
  opening = emptyBooks()
  for (const index of channels.keys()) {
    const through = index % 2 === 0 ? 'eip3009' : 'permit2'
    await take(opening, { do: 'deposit', channel: index, amount: 60n, through, signed: 'as sent' })
  }
})
afterAll(() => chain.stop())

test('the escrow keeps its books, pays nobody else, and lets every payer go', async () => {
  verifies('CHANNEL-CONTRACT')
  const started = performance.now()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 45, size: 'max' }), async (steps) => {
      // A busy machine gets fewer runs.
      if (performance.now() - started > 15_000) return
      const snapshot = await chain.rpc('evm_snapshot')
      const books = structuredClone(opening)
      for (const one of steps) await take(books, one)
      await everybodyLeaves(books)
      const { wallets } = await held()
      expect(wallets).toEqual(new Map([...before].map(([wallet, had]) => [wallet, had + earned(books, wallet) - paid(books, wallet)])))
      await chain.rpc('evm_revert', [snapshot])
    }),
    { numRuns: 60 },
  )
})

function emptyBooks(): Books {
  return {
    channels: channels.map(() => ({ balance: 0n, claimed: 0n, refunds: 0n, withdrawal: undefined })),
    receivers: receivers.map(() => ({ claimed: 0n, settled: 0n })),
    wallets: new Map(before),
    sent: [],
    nonces: 0n,
  }
}

async function take(books: Books, one: Step): Promise<void> {
  if (one.do === 'wait') {
    await chain.increaseTime(tick)
    for (const { withdrawal } of books.channels) if (withdrawal) withdrawal.ticks += 1
    return
  }
  const move = await moveOf(books, one)
  if (move === undefined) return
  const { result } = await send(move.call)
  expect({ one, result }).toEqual({ one, result: move.answer })
  if (move.answer === 'done') {
    move.effect?.()
    if (move.again !== undefined) books.sent.push({ call: move.call, answer: move.again })
  }
  // A block is seen everywhere a moment after its receipt.
  const counted = books.channels.map(({ balance, claimed, refunds }) => [balance, claimed, refunds])
  const pending = books.channels.map(({ withdrawal }) => withdrawal?.amount ?? 0n)
  const { receivers, wallets } = books
  await vi.waitFor(async () => expect(await held()).toEqual({ channels: counted, pending, receivers, wallets }), { interval: 5 })
}

function moveOf(books: Books, one: Exclude<Step, { do: 'wait' }>): Promise<Move> | Move | undefined {
  switch (one.do) {
    case 'deposit':
      return deposit(books, one)
    case 'claim':
      return claim(books, one)
    case 'settle':
      return settle(books, one.receiver)
    case 'withdraw':
      return withdraw(books, one)
    case 'finalize':
      return finalize(books, one)
    case 'refund':
    case 'refund by signature':
      return refund(books, one)
    case 'again':
      return books.sent[one.which % books.sent.length]
  }
}

async function deposit(books: Books, { channel: index, amount, through, signed }: Do<'deposit'>): Promise<Move> {
  const { payerKey: key } = at(index)
  const contract = through === 'permit2' && chain.contracts.permit2Collector
  books.nonces += 1n
  const said = {
    key,
    config: signed === 'for another channel' ? { ...config(index), salt: toHex(7, { size: 32 }) } : config(index),
    amount: signed === 'for less' ? amount - 1n : amount,
    salt: books.nonces,
  }
  const isKey = config(index).payer === config(0).payer || config(index).payer === config(3).payer
  const forged = through === 'eip3009' ? 'FiatTokenV2: invalid signature' : isKey ? 'InvalidSigner' : 'InvalidContractSignature'
  const data = amount === 0n ? '0x' : await (contract ? permit2Deposit(chain, said) : eip3009Deposit(chain, said))
  const args = [config(index), amount, contract || chain.contracts.eip3009Collector, data] as const
  return {
    call: { ...escrow(stranger.address), data: encodeFunctionData({ abi, functionName: 'deposit', args }) },
    answer: amount === 0n ? 'ZeroDeposit' : signed === 'as sent' ? 'done' : forged,
    effect: () => {
      entry(books, index).balance += amount
      pay(books, { from: config(index).payer, to: chain.contracts.batchSettlement, amount })
    },
    again: contract ? 'InvalidNonce' : 'FiatTokenV2: authorization is used or canceled',
  }
}

async function claim(books: Books, { rows, by }: Do<'claim'>): Promise<Move> {
  const voucherClaims = await Promise.all(
    rows.map(async (row) => ({
      voucher: { channel: config(row.channel), maxClaimableAmount: row.max },
      signature: await voucher(row),
      totalClaimed: row.claimed,
    })),
  )
  const first = at(rows[0]?.channel ?? 0)
  const bySignature = by.startsWith('signature')
  const counted = structuredClone({ channels: books.channels, receivers: books.receivers })
  const call = {
    ...escrow(bySignature ? stranger.address : sender(by, first)),
    data: bySignature
      ? encodeFunctionData({ abi, functionName: 'claimWithSignature', args: [voucherClaims, await claimSignature(by, rows)] })
      : encodeFunctionData({ abi, functionName: 'claim', args: [voucherClaims] }),
  }
  const answer = (): string => {
    if (rows.length === 0) return 'EmptyBatch'
    if (bySignature && by !== 'signature') return 'InvalidSignature'
    for (const row of rows) {
      const { receiver, receiverAuthorizer } = config(row.channel)
      if (bySignature && receiverAuthorizer !== first.config.receiverAuthorizer) return 'NotReceiverAuthorizer'
      if (!bySignature && call.from !== receiver && call.from !== receiverAuthorizer) return 'NotAuthorizedToClaim'
      const { balance, claimed } = entry(counted, row.channel)
      if (row.claimed <= claimed) continue
      if (row.claimed > row.max) return 'ClaimExceedsCeiling'
      if (row.claimed > balance) return 'ClaimExceedsBalance'
      if (row.signed !== 'as sent') return 'InvalidSignature'
      entry(counted, row.channel).claimed = row.claimed
      owedTo(counted, receivers.indexOf(receiver)).claimed += row.claimed - claimed
    }
    return 'done'
  }
  return { call, answer: answer(), effect: () => Object.assign(books, counted), again: 'done' }
}

function settle(books: Books, index: number): Move {
  const owed = owedTo(books, index)
  const to = receivers[index] ?? zeroAddress
  return {
    call: { ...escrow(stranger.address), data: encodeFunctionData({ abi, functionName: 'settle', args: [to, chain.usdc.address] }) },
    answer: 'done',
    effect: () => {
      pay(books, { from: chain.contracts.batchSettlement, to, amount: owed.claimed - owed.settled })
      owed.settled = owed.claimed
    },
  }
}

function withdraw(books: Books, { channel: index, amount, by }: Pick<Do<'withdraw'>, 'channel' | 'amount' | 'by'>): Move {
  const counted = entry(books, index)
  const answer = (): string => {
    if (by !== 'payer' && !isVoucherKey(by, index)) return 'InvalidChannel'
    if (amount === 0n) return 'NothingToWithdraw'
    if (counted.withdrawal) return 'WithdrawalAlreadyPending'
    return amount > counted.balance - counted.claimed ? 'WithdrawAmountExceedsAvailable' : 'done'
  }
  return {
    call: {
      ...escrow(sender(by, at(index))),
      data: encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config(index), amount] }),
    },
    answer: answer(),
    effect: () => {
      counted.withdrawal = { amount, ticks: 0 }
    },
  }
}

function finalize(books: Books, { channel: index, by }: Pick<Do<'finalize'>, 'channel' | 'by'>): Move {
  const counted = entry(books, index)
  const answer = (): string => {
    if (by !== 'payer' && !isVoucherKey(by, index)) return 'NotAuthorizedToFinalizeWithdraw'
    if (counted.withdrawal === undefined) return 'WithdrawalNotPending'
    return counted.withdrawal.ticks * tick < config(index).withdrawDelay ? 'WithdrawDelayNotElapsed' : 'done'
  }
  return {
    call: { ...escrow(sender(by, at(index))), data: encodeFunctionData({ abi, functionName: 'finalizeWithdraw', args: [config(index)] }) },
    answer: answer(),
    effect: () => {
      giveBack(books, index, counted.withdrawal?.amount ?? 0n)
      counted.withdrawal = undefined
    },
    again: 'WithdrawalNotPending',
  }
}

async function refund(books: Books, one: Do<'refund'> | Do<'refund by signature'>): Promise<Move> {
  const { channel: index, amount } = one
  const counted = entry(books, index)
  const nonce = counted.refunds
  const effect = (): void => {
    counted.refunds += 1n
    const given = giveBack(books, index, amount)
    const left = (counted.withdrawal?.amount ?? 0n) - given
    counted.withdrawal = counted.withdrawal && left > 0n ? { ...counted.withdrawal, amount: left } : undefined
  }
  const passed = amount === 0n ? 'ZeroRefund' : 'done'
  if (one.do === 'refund') {
    const from = sender(one.by, at(index))
    const data = encodeFunctionData({ abi, functionName: 'refund', args: [config(index), amount] })
    return { call: { ...escrow(from), data }, answer: /^receiver/.test(one.by) ? passed : 'NotAuthorizedToRefund', effect }
  }
  const signature = await batchSignature(one.signed === 'by a stranger' ? stranger.privateKey : at(index).authorizerKey, chain.chainId, {
    primaryType: 'Refund',
    message: { channelId: at(one.signed === 'for another channel' ? (index + 1) % 6 : index).id, nonce, amount },
  })
  const said = one.signed === 'for the next time' ? nonce + 1n : nonce
  const data = encodeFunctionData({ abi, functionName: 'refundWithSignature', args: [config(index), amount, said, signature] })
  const refused = one.signed === 'for the next time' ? 'InvalidRefundNonce' : 'InvalidSignature'
  return {
    call: { ...escrow(stranger.address), data },
    answer: one.signed === 'as sent' ? passed : refused,
    effect,
    again: 'InvalidRefundNonce',
  }
}

/** Each payer asks for all that is not claimed and waits; each receiver is paid. Then nothing is left. */
async function everybodyLeaves(books: Books): Promise<void> {
  const leave = async (): Promise<void> => {
    for (let waits = 0; waits < 3; waits += 1) await take(books, { do: 'wait' })
    for (const [index, { withdrawal }] of books.channels.entries())
      if (withdrawal) await step(finalize(books, { channel: index, by: 'payer' }))
  }
  const step = async (move: Move): Promise<void> => {
    expect(move.answer).toBe('done')
    expect((await send(move.call)).result).toBe('done')
    move.effect?.()
  }
  await leave()
  for (const [index, { balance, claimed }] of books.channels.entries()) {
    if (balance > claimed) await step(withdraw(books, { channel: index, amount: balance - claimed, by: 'payer' }))
  }
  await leave()
  for (const index of receivers.keys()) await step(settle(books, index))
  await vi.waitFor(async () => expect(await chain.balanceOf(chain.contracts.batchSettlement)).toBe(0n), { interval: 5 })
}

async function voucher({ channel: index, max, signed }: Do<'claim'>['rows'][number]): Promise<Hex> {
  const foreign = channelIdOf(chain.chainId, { ...config(index), token: multicall3Address })
  const channelId = signed === 'for another channel' ? at((index + 1) % 6).id : signed === 'for another token' ? foreign : at(index).id
  const maxClaimableAmount = signed === 'for less' ? max - 1n : max
  const key = signed === 'by a stranger' ? stranger.privateKey : at(index).key
  const chainId = signed === 'for another chain' ? 8453 : chain.chainId
  return await batchSignature(key, chainId, { primaryType: 'Voucher', message: { channelId, maxClaimableAmount } })
}

async function claimSignature(by: string, rows: Do<'claim'>['rows']): Promise<Hex> {
  const key = by === 'signature of a stranger' ? stranger.privateKey : at(rows[0]?.channel ?? 0).authorizerKey
  const more = by === 'signature of other rows' ? 1n : 0n
  const claims = rows.map(({ channel, max, claimed }) => ({
    channelId: at(channel).id,
    maxClaimableAmount: max,
    totalClaimed: claimed + more,
  }))
  return await batchSignature(key, chain.chainId, { primaryType: 'ClaimBatch', message: { claims } })
}

function giveBack(books: Books, index: number, wanted: bigint): bigint {
  const counted = entry(books, index)
  const free = counted.balance - counted.claimed
  const amount = wanted < free ? wanted : free
  counted.balance -= amount
  pay(books, { from: chain.contracts.batchSettlement, to: config(index).payer, amount })
  return amount
}

function pay({ wallets }: Books, { from, to, amount }: { from: Address; to: Address; amount: bigint }): void {
  wallets.set(from, (wallets.get(from) ?? 0n) - amount)
  wallets.set(to, (wallets.get(to) ?? 0n) + amount)
}

function reader({ chainId, rpcUrl }: EvmChain) {
  const viemChain = defineChain({
    id: chainId,
    name: 'local',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
    contracts: { multicall3: { address: multicall3Address } },
  })
  return createPublicClient({ chain: viemChain, transport: http(), batch: { multicall: true } })
}

/** What the escrow and the token say; one call, as viem gathers them for Multicall3. */
async function held() {
  const { contracts, usdc } = chain
  const batch = { address: contracts.batchSettlement, abi } as const
  const wallets = [stranger.address, ...Object.values(contracts), ...receivers, ...channels.map(({ config }) => config.payer)]
  const [counted, pending, owed, owned] = await Promise.all([
    Promise.all(
      channels.map(async ({ id }) => {
        const [state, refunds] = await Promise.all([
          client.readContract({ ...batch, functionName: 'channels', args: [id] }),
          client.readContract({ ...batch, functionName: 'refundNonce', args: [id] }),
        ])
        return [...state, refunds]
      }),
    ),
    Promise.all(
      channels.map(async ({ id }) => (await client.readContract({ ...batch, functionName: 'pendingWithdrawals', args: [id] }))[0]),
    ),
    Promise.all(
      receivers.map(async (receiver) => {
        const [claimed, settled] = await client.readContract({ ...batch, functionName: 'receivers', args: [receiver, usdc.address] })
        return { claimed, settled }
      }),
    ),
    Promise.all(
      [...new Set(wallets)].map(async (wallet) => {
        const args = [wallet] as const
        return [wallet, await client.readContract({ address: usdc.address, abi: erc20Abi, functionName: 'balanceOf', args })] as const
      }),
    ),
  ])
  return { channels: counted, pending, receivers: owed, wallets: new Map(owned) }
}

function sender(by: string, { config }: Channel): Address {
  // A transaction of the zero address does not exist; anybody else stands for it.
  const { payer, payerAuthorizer, receiver, receiverAuthorizer } = config
  const authorizer = payerAuthorizer === zeroAddress ? stranger.address : payerAuthorizer
  const all = { payer, payerAuthorizer: authorizer, receiver, receiverAuthorizer, stranger: stranger.address }
  return Object.entries(all).find(([role]) => role === by)?.[1] ?? stranger.address
}

function isVoucherKey(by: string, index: number): boolean {
  return by === 'payerAuthorizer' && config(index).payerAuthorizer !== zeroAddress
}

function escrow(from: Address): { from: Address; to: Address } {
  return { from, to: chain.contracts.batchSettlement }
}

function at(index: number): Channel {
  const one = channels[index]
  if (one === undefined) throw new RangeError(`no channel ${index}`)
  return one
}

function config(index: number): ChannelConfig {
  return at(index).config
}

function entry(books: Pick<Books, 'channels'>, index: number): Books['channels'][number] {
  const one = books.channels[index]
  if (one === undefined) throw new RangeError(`no channel ${index}`)
  return one
}

function owedTo(books: Pick<Books, 'receivers'>, index: number): Books['receivers'][number] {
  const one = books.receivers[index]
  if (one === undefined) throw new RangeError(`no receiver ${index}`)
  return one
}

function paid(books: Books, wallet: Address): bigint {
  return sum(books.channels.map(({ claimed }, index) => (config(index).payer === wallet ? claimed : 0n)))
}

function earned(books: Books, wallet: Address): bigint {
  return sum(books.channels.map(({ claimed }, index) => (config(index).receiver === wallet ? claimed : 0n)))
}

function sum(amounts: bigint[]): bigint {
  return amounts.reduce((total, one) => total + one, 0n)
}
