import { readFileSync } from 'node:fs'
import { createClient, streamWallet } from '@flow402x/client'
import { type ChannelEvent, type Facilitator, type Prepared, parsePrice, type Submission } from '@flow402x/core'
import type { RailLane, StreamVoucher } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { type PaidStream, payStream } from '@flow402x/stream/client'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address } from '@solana/kit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { placeChannel, session, signVoucher } from '../fixtures/program-channels.ts'
import { openShop } from '../fixtures/streams.ts'
import { settleable } from '../vouchers/ring.ts'
import { programChannelClient } from './client.ts'
import { channelsProgram, distributionHash, type StoredChannel } from './program.ts'
import { readRow } from './receiver.ts'
import { programChannelServer } from './server.ts'

let local: SolanaChain
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
  await local.createTokenAccount(address(local.facilitator.address))
})
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
afterAll(() => local?.stop())

const usd = 1_000_000n
const given = { now: Date.now() / 1000, maxTimeoutSeconds: 60 }
/** Nobody is asked: the seller settles himself. */
const nobody: Facilitator = {
  supported: async () => ({ kinds: [], extensions: [], signers: {} }),
  verify: async () => ({ valid: false, reason: 'nobody' }),
  settle: async ({ requirements: { network } }) => ({ status: 'notSettled', network, reason: 'nobody', retry: 'never' }),
}

/** A seller, and a channel of ten dollars to him that was put onto the chain by hand. */
async function scene(change: Partial<StoredChannel> = {}) {
  const { network, rpcUrl } = local
  const placed = await placeChannel(local, change)
  const [store, wallet] = [memoryStore(), memoryStore()]
  const clock = { now: Date.now() }
  const settler = local.facilitator.privateKey
  const scheme = programChannelServer({ network, rpcUrl, payTo: local.seller.address, settler, store, clock: () => clock.now })
  const { rail, vouchers } = scheme
  if (rail === undefined || vouchers === undefined) throw new TypeError('no rail')
  const events: ChannelEvent[] = []
  const runner = vouchers.runner({ facilitator: nobody, onEvent: (event) => events.push(event) })
  open.push(runner)
  const requirements = scheme.requirements({ price: parsePrice('$0.05'), kind: undefined, maxTimeoutSeconds: 60, flow: 'upfront' })
  const client = programChannelClient({
    network,
    rpcUrl,
    signer: local.buyer.privateKey,
    session,
    store: wallet,
    channels: [placed.seeds],
    maxDeposit: '$20',
  })
  const { channel: id, seeds } = placed
  const { salt, openSlot, ...parties } = seeds
  const terms = { ...parties, salt: `${salt}`, openSlot: `${openSlot}` }
  const lane = (used?: bigint): RailLane => ({
    id: 'lane',
    channelId: id,
    slice: 3n * usd,
    ...(used === undefined ? {} : { used, epoch: 1 }),
  })
  const submission = ({ payload }: Pick<Prepared, 'payload'>): Submission => ({
    payment: { x402Version: 2, accepted: requirements, payload: { ...payload } },
    requirements,
  })
  const payment = async (max: bigint, { channel = {}, voucher = {} } = {}): Promise<Submission> => {
    const signed = { channelId: id, maxClaimableAmount: `${max}`, signature: await signVoucher(id, max), ...voucher }
    return submission({ payload: { type: 'voucher', channel: { ...terms, ...channel }, voucher: signed } })
  }
  const take = async ({ channelId, maxClaimableAmount: max, signature }: StreamVoucher, opens = false) => {
    const signed = await (await rail.channel(channelId))?.signed({ max, signature })
    return signed === undefined ? 'unsigned' : await rail.raise({ max, signature: signed }, lane(), { opens })
  }
  const tick = async (max: bigint, opens = false) => {
    if (opens) await rail.check(await payment(max))
    return await take({ channelId: id, maxClaimableAmount: max, signature: await signVoucher(id, max) }, opens)
  }
  const row = async () => await store.channels.find({ side: 'receiver', id })
  /** What could be settled now. */
  const due = async () => {
    const channel = await row()
    const ring = (channel && readRow(channel)?.ring) ?? []
    return channel && settleable(ring, { consumed: channel.charged, settled: channel.funds.claimed })?.max
  }
  /** The program would have made this of it. */
  const becomes = (next: Partial<StoredChannel>) => placeChannel(local, { ...placed.stored, ...next })
  return {
    ...placed,
    id,
    scheme,
    rail,
    runner,
    events,
    requirements,
    client,
    clock,
    store,
    wallet,
    lane,
    submission,
    payment,
    take,
    tick,
    row,
    due,
    becomes,
  }
}

/** Reads forty chunks; what was consumed. */
async function readSome(stream: PaidStream): Promise<bigint> {
  let chunks = 0
  for await (const _ of stream) {
    chunks += 1
    if (chunks === 40) break
  }
  return (await stream.receipt).consumed
}

describe('a lane over a channel of the program', () => {
  it('opens by a payment, is paid by ticks, and a settlement ends nothing of what was signed', async () => {
    verifies('FS1-CHANNELS-RAIL')
    const s = await scene()
    const account = await s.client.lanes?.open(s.requirements, 200_000n, given)
    if (account === undefined) throw new TypeError('no lanes')
    expect(account.channelId).toBe(s.id)
    expect(await s.rail.check(s.submission(account.payment()))).toMatchObject({ id: s.id, payer: local.buyer.address })
    expect(account.payment().payload.voucher).toMatchObject({ maxClaimableAmount: '200000' })
    expect(await s.tick(200_000n, true)).toMatchObject({ accepted: 200_000n, granted: 200_000n })
    const slid = await account.slide({ used: 150_000n, window: 200_000n, least: 1n })
    if (slid === undefined) throw new TypeError('nothing to sign')
    expect(await s.take(slid)).toMatchObject({ accepted: 350_000n })
    expect(await s.rail.grow(s.lane(210_000n))).toMatchObject({ used: 210_000n, consumed: 210_000n })
    expect(await s.due()).toBe(200_000n)
    // Somebody settled it: whoever asks may.
    await s.becomes({ settled: 200_000n, payoutWatermark: 200_000n })
    s.clock.now += 15_001
    expect(await s.rail.grow(s.lane(220_000n))).toMatchObject({ granted: 350_000n, channel: { claimed: 200_000n, balance: 10n * usd } })
    expect(await s.due()).toBeUndefined()
    const next = await account.slide({ used: 220_000n, window: 200_000n, least: 1n })
    if (next === undefined) throw new TypeError('nothing to sign')
    expect(await s.take(next)).toMatchObject({ accepted: 420_000n })
    expect(await account.renew?.()).toBeUndefined()
    // At its end an exact voucher is left behind, for what was delivered and not for what the seller says beyond it.
    await s.rail.end(s.lane(333_333n), { refundable: true })
    await account.close(333_333n)
    expect((await account.final?.({ received: 300_000n }))?.maxClaimableAmount).toBe(300_000n)
    const final = await account.final?.({ received: 333_333n })
    const signed = final && (await (await s.rail.channel(s.id))?.signed({ max: final.maxClaimableAmount, signature: final.signature }))
    if (signed === undefined) throw new TypeError('no last voucher')
    expect(await s.rail.keep?.({ max: 333_333n, signature: signed }, s.id)).toBeUndefined()
    expect(await s.due()).toBe(333_333n)
  })

  it('refuses what its key did not sign, another channel, more than was put in or fits, and what is older', async () => {
    verifies(['FS1-CHANNELS-RAIL', 'T12', 'T13'])
    const s = await scene()
    expect(await s.tick(10n * usd + 1n, true)).toMatchObject({
      status: 402,
      reason: 'invalid_flow402x_channels_cumulative_exceeds_balance',
    })
    expect(await s.tick(600_000n, true)).toMatchObject({ accepted: 600_000n })
    expect(await s.tick(500_000n)).toMatchObject({ status: 409, accepted: 600_000n })
    expect(await s.tick(600_000n)).toMatchObject({ accepted: 600_000n })
    // Eight bytes hold no more: what is cut off would be signed as one.
    expect(await s.tick((1n << 64n) + 700_000n)).toBe('unsigned')
    const other = await signVoucher(local.usdc.address, 700_000n)
    expect(await s.take({ channelId: s.id, maxClaimableAmount: 700_000n, signature: other })).toBe('unsigned')
    const reasons = await Promise.all(
      [
        s.payment(700_000n, { voucher: { maxClaimableAmount: '700001' } }),
        s.payment(700_000n, { voucher: { channelId: local.usdc.address } }),
        s.payment(700_000n, { channel: { salt: '99' } }),
        s.payment(700_000n, { channel: { payee: local.buyer.address } }),
        s.payment(700_000n, { channel: { salt: `${1n << 64n}` } }),
      ].map(async (one) => {
        const refusal = await s.rail.check(await one)
        return 'reason' in refusal ? refusal.reason.replace('invalid_flow402x_channels_', '') : 'taken'
      }),
    )
    expect(reasons).toEqual(['voucher_signature', 'channel_id_mismatch', 'channel_id_mismatch', 'channel_id_mismatch', 'payload'])
  })

  it('is none over a channel that pays others, leaves too little time, or is not there', async () => {
    verifies('FS1-CHANNELS-RAIL')
    const half = distributionHash([{ recipient: local.seller.address, bps: 5000 }])
    for (const change of [{ distributionHash: half }, { gracePeriod: 60 }, { status: 'sealed' as const }]) {
      const s = await scene(change)
      expect(await s.tick(usd, true)).toMatchObject({ status: 402, reason: 'invalid_flow402x_channels_channel_not_found' })
      expect(await s.row()).toBeUndefined()
    }
  })

  it('is granted nothing more once its payer wants to close, and is told so', async () => {
    verifies(['FS1-CHANNELS-RAIL', 'T15', 'F5'])
    const s = await scene()
    await s.tick(2n * usd, true)
    await s.rail.grow(s.lane(usd))
    await s.becomes({ status: 'closing', closureStartedAt: BigInt(Math.floor(s.clock.now / 1000)) })
    s.clock.now += 15_001
    expect(await s.rail.grow(s.lane(1_500_000n))).toMatchObject({ isDraining: true, granted: 2n * usd })
    expect(await s.tick(3n * usd)).toMatchObject({ status: 423 })
  })
})

describe('its runner', () => {
  it('signs nothing that would fail: what is owed stays owed, is told once, and can be settled later', async () => {
    verifies('FS1-CHANNELS-RAIL')
    const s = await scene()
    const before = await local.solBalance(address(local.facilitator.address))
    await s.tick(usd, true)
    await s.rail.grow(s.lane(usd))
    // There is no such program on this chain, as there is none on most.
    expect(await s.runner.round({ all: true })).toEqual({ led: true, claimed: 0, settled: 0n })
    await s.runner.round({ all: true })
    expect(s.events).toMatchObject([{ type: 'channelPoisoned', channelId: s.id, owed: usd }])
    expect(await local.solBalance(address(local.facilitator.address))).toBe(before)
    expect(await s.due()).toBe(usd)
  })

  it('tells that a payer leaves, by when it has to be settled, and what was lost where that was too late', async () => {
    verifies(['FS1-CHANNELS-RAIL', 'F24'])
    const s = await scene()
    await s.tick(2n * usd, true)
    await s.rail.grow(s.lane(2n * usd))
    const closureStartedAt = BigInt(Math.floor(s.clock.now / 1000))
    await s.becomes({ status: 'closing', closureStartedAt })
    await s.runner.round()
    expect(s.events[0]).toMatchObject({
      type: 'channelWithdrawing',
      amount: 10n * usd,
      owed: 2n * usd,
      before: Number(closureStartedAt + 900n) * 1000,
    })
    await s.becomes({ status: 'sealed', closureStartedAt })
    const late = await scene()
    await late.tick(usd, true)
    await late.rail.grow(late.lane(usd))
    await late.becomes({ status: 'sealed', closureStartedAt })
    await late.runner.round({ all: true })
    expect(late.events.at(-1)).toMatchObject({ type: 'channelPoisoned', channelId: late.id, owed: usd })
  })
})

describe('its payer', () => {
  it('writes down which channel he opens before he sends anything, and sends nothing that would fail', async () => {
    verifies(['FS1-CHANNELS-RAIL', 'M31'])
    const s = await scene()
    const wallet = memoryStore()
    const before = await local.balanceOf(local.buyer.address)
    const { network, rpcUrl } = local
    const fresh = programChannelClient({ network, rpcUrl, signer: local.buyer.privateKey, store: wallet })
    await expect(fresh.lanes?.open(s.requirements, usd, given)).rejects.toMatchObject({ code: 'solana/not-filled' })
    const rows = []
    for await (const row of wallet.channels.list({ side: 'payer' })) rows.push(readRow(row)?.program)
    expect(rows).toMatchObject([{ payer: local.buyer.address, payee: local.facilitator.address, authorizedSigner: local.buyer.address }])
    expect(await local.balanceOf(local.buyer.address)).toBe(before)
    const capped = programChannelClient({ network, rpcUrl, signer: local.buyer.privateKey, maxDeposit: '$0.5' })
    await expect(capped.lanes?.open(s.requirements, usd, given)).rejects.toMatchObject({ code: 'solana/deposit-cap' })
  })

  it('signs over none but a channel that is the receiver’s, and waits for his money as long as he has to', async () => {
    verifies(['FS1-CHANNELS-RAIL', 'T17'])
    const elsewhere = await scene({ distributionHash: distributionHash([{ recipient: local.owner.address, bps: 10_000 }]) })
    await expect(elsewhere.client.lanes?.open(elsewhere.requirements, usd, given)).rejects.toMatchObject({ code: 'solana/not-filled' })
    const closing = await scene({ status: 'closing', closureStartedAt: BigInt(Math.floor(Date.now() / 1000)) })
    expect(await closing.client.leave(closing.requirements)).toEqual([])
    const { extra: _, ...bare } = closing.requirements
    expect(closing.client.supports(bare)).toBe(false)
  })
})

it('a stream over such a channel flows, and leaves a voucher for exactly what was delivered', async () => {
  verifies(['FS1-CHANNELS-RAIL', 'FS1-FINAL'])
  const s = await scene()
  const shop = await openShop([s.scheme], { facilitator: nobody, store: s.store })
  open.push(shop)
  const wallet = streamWallet(createClient({ schemes: [s.client], budget: { perPayment: '$1', total: '$2' } }))
  const stream = await payStream({ wallet, url: `${shop.url}/live`, units: '10' })
  expect(stream.grade).toBe('B')
  const consumed = await readSome(stream)
  expect(consumed).toBeGreaterThan(0n)
  expect((await s.row())?.charged).toBe(consumed)
  expect(await s.due()).toBe(consumed)
})

const binary = process.env.FLOW402X_CHANNELS_SO ?? ''
const why = binary === '' ? ' (skipped: FLOW402X_CHANNELS_SO names no binary of the payment-channels program, and none is published)' : ''
it.skipIf(binary === '')(`opens, pays, settles and leaves with the program itself${why}`, async () => {
  verifies('FS1-CHANNELS-RAIL')
  await local.addProgram(address(channelsProgram), readFileSync(binary))
  await local.createTokenAccount(address('4zTeC5mVqWLruDexgU2mV66p9t5vCA9JyiZqdGDUspap'))
  const s = await scene()
  const shop = await openShop([s.scheme], { facilitator: nobody, store: s.store })
  open.push(shop)
  const { network, rpcUrl } = local
  const client = programChannelClient({ network, rpcUrl, signer: local.buyer.privateKey, maxDeposit: '$10' })
  const before = { seller: await local.balanceOf(local.seller.address), buyer: await local.balanceOf(local.buyer.address) }
  const wallet = streamWallet(createClient({ schemes: [client], budget: { perPayment: '$1', total: '$2' } }))
  const stream = await payStream({ wallet, url: `${shop.url}/live`, units: '10' })
  const consumed = await readSome(stream)
  expect(await s.runner.round({ all: true })).toMatchObject({ claimed: 1, settled: consumed })
  expect((await local.balanceOf(local.seller.address)) - before.seller).toBe(consumed)
  const [requirements] = (await shop.offer()).accepts
  if (requirements === undefined) throw new TypeError('nothing is offered')
  expect(await client.leave(requirements)).toHaveLength(1)
  await local.increaseTime(901)
  expect(await client.leave(requirements)).toHaveLength(1)
  expect(before.buyer - (await local.balanceOf(local.buyer.address))).toBe(consumed)
})
