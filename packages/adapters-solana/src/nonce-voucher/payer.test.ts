import { type PaymentRequirements, type Prepared, parsePrice, type Submission } from '@flow402x/core'
import type { LaneAccount, RailLane, StreamVoucher } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, solanaDevelopmentAccounts, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address } from '@solana/kit'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { httpRpc } from '../chain/rpc.ts'
import { secretKeySender } from '../crypto/signer.ts'
import { nonceVoucherFacilitator, solanaChain } from '../facilitator.ts'
import { nonceVoucherClient } from './payer/client.ts'
import { nonceVoucherServer } from './server.ts'
import { readChannel } from './state.ts'
import { voucherMessage } from './voucher.ts'
import { noncePayload } from './wire.ts'

let local: SolanaChain
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 10 })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})
afterAll(() => local?.stop())

const usd = 1_000_000n
let buyers = 0

/** A payer of his own, a seller and a facilitator on one chain; `voucher` is what a tick says. */
async function scene({ maxDeposit = '$5' } = {}) {
  const { network, rpcUrl } = local
  buyers += 1
  const buyer = solanaDevelopmentAccounts.filter(({ role }) => role === 'buyer')[buyers % 7]
  if (buyer === undefined) throw new Error('no buyer')
  const [store, wallet] = [memoryStore(), memoryStore()]
  const scheme = nonceVoucherServer({ network, rpcUrl, payTo: local.seller.address, store, minDeposit: '$2' })
  const chain = solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [nonceVoucherFacilitator({ chain })], confirmTimeout: 10_000, store })
  const { rail, vouchers } = scheme
  if (rail === undefined || vouchers === undefined) throw new Error('no rail')
  const runner = vouchers.runner({ facilitator })
  open.push(runner, facilitator)
  const [kind] = (await facilitator.supported()).kinds
  const requirements = scheme.requirements({ price: parsePrice('$0.05'), kind, maxTimeoutSeconds: 60, flow: 'upfront' })
  const clientOf = (more: object = {}) =>
    nonceVoucherClient({ network, rpcUrl, signer: buyer.privateKey, store: wallet, maxDeposit, ...more })
  const client = clientOf()
  const given = { now: Date.now() / 1000, maxTimeoutSeconds: 60 }
  const lane = (channelId: string, used?: bigint): RailLane => ({
    id: 'lane',
    channelId,
    slice: 10n * usd,
    ...(used === undefined ? {} : { used, epoch: 1 }),
  })
  const submission = ({ payload }: Prepared, asked: PaymentRequirements = requirements): Submission => ({
    payment: { x402Version: 2, accepted: asked, payload: { ...payload } },
    requirements: asked,
  })
  const take = async ({ channelId, maxClaimableAmount: max, signature }: StreamVoucher, opens = false) => {
    const signed = await (await rail.channel(channelId))?.signed({ max, signature })
    return signed === undefined ? 'unsigned' : await rail.raise({ max, signature: signed }, lane(channelId), { opens })
  }
  /** What a server makes of a payment that opens a lane. */
  const accept = async (prepared: Prepared) => {
    const checked = await rail.check(submission(prepared))
    if ('reason' in checked) return checked
    const { voucher } = noncePayload.parse(prepared.payload)
    return await take({ ...voucher, maxClaimableAmount: BigInt(voucher.maxClaimableAmount) }, true)
  }
  const stateOf = async (account: Pick<LaneAccount, 'payment'>) =>
    await readChannel(httpRpc({ url: rpcUrl, fetch, timeoutMs: 5000 }), noncePayload.parse(account.payment().payload).channel)
  return { buyer, scheme, rail, runner, facilitator, requirements, client, clientOf, given, lane, submission, take, accept, stateOf }
}

it('opens a channel by one transaction of its own, pays by ticks, and after a settlement signs over what the chain shows', async () => {
  verifies('T25')
  verifies('M31')
  const s = await scene()
  const before = { seller: await local.balanceOf(local.seller.address), buyer: await local.balanceOf(s.buyer.address) }
  const account = await s.client.lanes?.open(s.requirements, 200_000n, s.given)
  if (account === undefined) throw new Error('no lanes')
  // The advised two dollars lie in the purse, which is the payer's own.
  expect(before.buyer - (await local.balanceOf(s.buyer.address))).toBe(2n * usd)
  expect(await s.stateOf(account)).toMatchObject({ spendable: 2n * usd, epoch: { settled: 0n } })
  expect(await s.accept(account.payment())).toMatchObject({ accepted: 200_000n, granted: 200_000n })
  const tick = await account.slide({ used: 150_000n, window: 200_000n, least: 1n })
  expect(tick).toMatchObject({ maxClaimableAmount: 350_000n })
  if (tick === undefined) throw new Error('no tick')
  expect(await s.take(tick)).toMatchObject({ accepted: 350_000n })
  await s.rail.grow(s.lane(account.channelId, 210_000n))
  expect(await s.runner.round({ all: true })).toMatchObject({ settled: 200_000n })
  // Its payer has not heard of it: what he signs next is dead, and he is told so.
  const late = await account.slide({ used: 210_000n, window: 200_000n, least: 1n })
  if (late === undefined) throw new Error('no tick')
  expect(await s.take(late)).toMatchObject({ status: 402, reason: 'invalid_flow402x_nonce_stale_nonce' })
  const anew = await account.renew?.()
  expect(anew).toMatchObject({ maxClaimableAmount: late.maxClaimableAmount })
  if (anew === undefined) throw new Error('not renewed')
  expect(await s.take(anew)).toMatchObject({ accepted: late.maxClaimableAmount })
  expect(await account.renew?.()).toBeUndefined()
  await account.close(210_000n)
  await s.rail.end(s.lane(account.channelId, 210_000n), { refundable: true })
  expect((await local.balanceOf(local.seller.address)) - before.seller).toBe(200_000n)
})

it('signs for what was delivered and one window, and never twice for the same, over lanes, windows and a restart', async () => {
  verifies('T2')
  verifies('M29')
  const s = await scene()
  const account = await s.client.lanes?.open(s.requirements, 100_000n, s.given)
  if (account === undefined) throw new Error('no lanes')
  for (let used = 10_000n; used <= 100_000n; used += 10_000n) {
    await account.slide({ used, window: 100_000n, least: 1n })
    const { max, used: counted, credit } = account.standing()
    expect(max - counted).toBe(100_000n)
    expect(credit).toBe(100_000n)
  }
  await account.close(100_000n)
  // Another process of the wallet: credit that is left is signed before anything new.
  const other = s.clientOf()
  const again = await other.lanes?.open(s.requirements, 100_000n, s.given)
  expect(again?.channelId).toBe(account.channelId)
  expect(again?.standing()).toMatchObject({ max: 200_001n, used: 0n, credit: 100_001n })
  await again?.close(0n)
  const window = await other.prepare({ ...s.requirements, amount: '150000' }, s.given)
  expect(window.payload).toMatchObject({ voucher: { maxClaimableAmount: '250000' } })
  // What nobody has answered is spent.
  await other.onReceipt?.(window, { status: 'unknown' })
  const next = await other.prepare(s.requirements, s.given)
  expect(next.payload).toMatchObject({ voucher: { maxClaimableAmount: '300000' } })
})

it('has what a dead process had signed again where its receiver says that he charged less, and leaves a voucher for exactly that', async () => {
  verifies('FS1-CLIENT-KILLED')
  verifies('FS1-FINAL')
  const [s, window] = [await scene(), 200_000n]
  // It never says another word, and after its time others pay on.
  const heirs = s.clientOf({ clock: () => Date.now() + 130_000 })
  const opened = async (client: ReturnType<typeof s.clientOf>, used: bigint) => {
    const account = await client.lanes?.open(s.requirements, window, s.given)
    if (account === undefined) throw new Error('no lanes')
    expect(await s.accept(account.payment())).toMatchObject({ accepted: account.standing().max })
    await s.rail.end(s.lane(account.channelId, used), { refundable: true })
    return account
  }
  const left = async (account: LaneAccount, received: bigint) => {
    const last = await account.final?.({ received })
    if (last === undefined) throw new Error('no final voucher')
    const { maxClaimableAmount: max, signature } = last
    expect(await (await s.rail.channel(account.channelId))?.signed({ max, signature })).toBeDefined()
    return max
  }
  await opened(s.client, 50_000n)
  const heir = await opened(heirs, 30_000n)
  expect(heir.standing()).toMatchObject({ max: 2n * window, credit: window })
  // More than these books count is not believed: what the dead one had signed is spent.
  await heir.close(30_000n, { charged: 9n * usd })
  expect(await left(heir, 30_000n)).toBe(window + 30_000n)
  const second = await opened(heirs, 10_000n)
  expect(second.standing()).toMatchObject({ max: 2n * window + 30_000n, credit: window })
  await second.close(10_000n, { charged: 90_000n })
  expect(await left(second, 10_000n)).toBe(90_000n)
  // Credit is signed again before anything new, and above all that was ever signed.
  const third = await opened(heirs, 0n)
  expect(third.standing()).toMatchObject({ max: 2n * window + 30_001n, credit: 2n * window + 30_001n - 90_000n })
})

it('fills its channel again without ending its lane, and keeps to its cap', async () => {
  verifies('T9')
  const s = await scene({ maxDeposit: '$3' })
  const account = await s.client.lanes?.open(s.requirements, usd, s.given)
  if (account === undefined) throw new Error('no lanes')
  expect(await s.accept(account.payment())).toMatchObject({ accepted: usd })
  const far = await account.slide({ used: usd, window: 1_900_000n, least: 1n })
  if (far === undefined) throw new Error('no tick')
  expect(far.maxClaimableAmount).toBe(2_900_000n)
  expect(await s.take(far)).toMatchObject({ accepted: 2_900_000n, channel: { balance: 3n * usd } })
  // All that lies there unspent may be three dollars, and nothing is settled yet.
  await expect(account.slide({ used: 2_900_000n, window: 200_000n, least: 1n })).rejects.toMatchObject({ code: 'solana/deposit-cap' })
  await s.rail.grow(s.lane(account.channelId, 2_900_000n))
  expect(await s.runner.round({ all: true })).toMatchObject({ settled: 2_900_000n })
  await account.renew?.()
  expect(await account.slide({ used: 2_900_000n, window: 200_000n, least: 1n })).toMatchObject({ maxClaimableAmount: 3_100_000n })
})

it('takes back what is left, and finds a channel again whose books are lost', async () => {
  verifies('F2')
  verifies('M31')
  const s = await scene()
  const account = await s.client.lanes?.open(s.requirements, 300_000n, s.given)
  if (account === undefined) throw new Error('no lanes')
  await s.accept(account.payment())
  await s.rail.grow(s.lane(account.channelId, 300_000n))
  await s.runner.round({ all: true })
  const lost = s.clientOf({ store: memoryStore() })
  const found = await lost.lanes?.open(s.requirements, 50_000n, s.given)
  expect(found?.channelId).toBe(account.channelId)
  expect(found?.standing()).toMatchObject({ max: 350_000n })
  await s.rail.end(s.lane(account.channelId, 300_000n), { refundable: true })
  if (found === undefined) throw new Error('not found')
  expect(await s.accept(found.payment())).toMatchObject({ accepted: 350_000n })
  const before = await local.balanceOf(s.buyer.address)
  expect(await lost.close(s.requirements)).toMatch(/^[1-9A-HJ-NP-Za-km-z]{80,90}$/)
  expect((await local.balanceOf(s.buyer.address)) - before).toBe(1_700_000n)
  expect(await s.stateOf(found)).toMatchObject({ spendable: 0n, epoch: { settled: 300_000n } })
})

it('believes a receiver who names a position above its books only by a voucher of its own key', async () => {
  verifies('T18')
  const s = await scene()
  const account = await s.client.lanes?.open(s.requirements, 300_000n, s.given)
  if (account === undefined) throw new Error('no lanes')
  await s.accept(account.payment())
  await s.rail.end(s.lane(account.channelId, 300_000n), { refundable: true })
  const lost = s.clientOf({ store: memoryStore() })
  const second = await lost.lanes?.open(s.requirements, 50_000n, s.given)
  if (second === undefined) throw new Error('no lanes')
  const refusal = await s.accept(second.payment())
  if (typeof refusal === 'string' || !('reason' in refusal)) throw new Error('it was taken')
  expect(refusal).toMatchObject({ status: 402, extra: { channelState: { signedMaxClaimable: '300000' } } })
  const correction = (state: object) => ({
    reason: refusal.reason,
    requirements: { ...s.requirements, extra: { ...s.requirements.extra, channelState: state } },
    sends: 1,
  })
  // An object, as was just compared.
  const state = { ...(refusal.extra?.channelState as object) }
  expect(await second.correct(correction({ ...state, signedMaxClaimable: '900000' }), 50_000n, s.given)).toBe(false)
  expect(await second.correct(correction({ ...state, signedMaxClaimable: '9'.repeat(20) }), 50_000n, s.given)).toBe(false)
  expect(await second.correct(correction(state), 50_000n, s.given)).toBe(true)
  expect(second.standing()).toMatchObject({ max: 350_000n })
  expect(await s.accept(second.payment())).toMatchObject({ accepted: 350_000n })
})

it('signs for no other authority’s nonce, and no offer of another scheme, token or payee', async () => {
  verifies('T17')
  const s = await scene()
  const { extra, ...terms } = s.requirements
  const others = [
    { ...s.requirements, scheme: 'exact' },
    { ...s.requirements, network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' },
    { ...s.requirements, asset: local.owner.address },
    { ...s.requirements, payTo: s.buyer.address },
    { ...terms, extra: { ...extra, nonceAuthority: 'nobody' } },
    { ...terms, extra: {} },
  ]
  expect(others.map((one) => s.client.supports(one))).toEqual(others.map(() => false))
  expect(s.client.supports(s.requirements)).toBe(true)
  const wallet = secretKeySender(s.buyer.privateKey)
  const account = await s.client.lanes?.open(s.requirements, 50_000n, s.given)
  if (account === undefined) throw new Error('no lanes')
  const { channel, voucher } = noncePayload.parse(account.payment().payload)
  // The key that signs vouchers owns nothing and is not the wallet’s.
  expect(channel.session).not.toBe(wallet.address)
  expect(await local.solBalance(address(channel.session))).toBe(0n)
  expect(voucherMessage(channel, { nonce: voucher.nonce, amount: 50_000n, decimals: 6 }).length).toBe(388)
})
