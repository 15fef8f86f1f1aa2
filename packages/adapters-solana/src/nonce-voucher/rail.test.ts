import type { ChannelEvent, Facilitator, Submission } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { getApproveCheckedInstruction, getRevokeInstruction } from '@solana-program/token'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { nonceVoucherFacilitator, solanaChain } from '../facilitator.ts'
import { at } from '../fixtures/channels.ts'
import { nonceScene, usd } from '../fixtures/nonce-scene.ts'
import { type NonceChannel, textOf } from './channel.ts'

let local: SolanaChain
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})
afterAll(() => local?.stop())

async function scene(options: Parameters<typeof nonceScene>[1] = {}) {
  const made = await nonceScene(local, options)
  open.push(made)
  return made
}

describe('a lane over a channel of nonces', () => {
  it('opens by a payment, is paid by ticks, and what was delivered is settled by the highest voucher that was consumed', async () => {
    verifies('T25')
    const s = await scene()
    const before = await s.received()
    const opening = await s.payment(50_000n)
    expect(s.rail.read(opening.payment)).toMatchObject({ kind: 'voucher', max: 50_000n, channelId: s.id })
    expect(await s.rail.check(opening)).toMatchObject({ payer: s.channel.payer, id: s.id })
    for (const max of [100_000n, usd, 2n * usd, 2_500_000n])
      expect(await s.tick(max, { opens: max === 100_000n })).toMatchObject({ accepted: max, isDraining: false })
    expect(await s.rail.grow(s.lane(2_100_000n))).toMatchObject({ used: 2_100_000n, consumed: 2_100_000n, ahead: 0n })
    expect(await s.runner.round()).toEqual({ led: true, claimed: 1, settled: 2_000_000n })
    expect((await s.received()) - before).toBe(2_000_000n)
    expect(s.events).toMatchObject([{ type: 'channelsClaimed', amount: 2_000_000n, channels: 1 }])
    // What is owed beyond it is backed by a dead voucher: nothing more is granted until its payer signs anew.
    const gated = await s.rail.grow(s.lane(2_500_000n))
    expect(gated).toMatchObject({ used: 2_500_000n, granted: 2_500_000n, ahead: 0n })
    expect(await s.tick(2_500_000n)).toMatchObject({ accepted: 2_500_000n })
    expect(await s.tick(4_000_000n)).toMatchObject({ granted: 4_000_000n })
    await s.rail.end(s.lane(3_999_999n), { refundable: true })
    expect(await s.runner.round({ all: true })).toMatchObject({ claimed: 1, settled: 500_000n })
    // The last voucher was not consumed to its end: one atomic unit is not taken without an exact final voucher.
    expect((await s.received()) - before).toBe(2_500_000n)
  })

  it('answers a tick over an old nonce with the new one, what was settled and by which transaction', async () => {
    verifies('T25')
    verifies('T18')
    const s = await scene()
    await s.tick(usd, { opens: true })
    const old = await s.epoch()
    await s.rail.grow(s.lane(usd))
    await s.runner.round({ all: true })
    const next = await s.epoch()
    expect(await s.tick(2n * usd, { epoch: old })).toMatchObject({
      status: 402,
      reason: 'invalid_flow402x_nonce_stale_nonce',
      extra: { channelState: { nonce: next.nonce, settled: `${usd}`, transaction: next.last } },
    })
    expect(await s.tick(2n * usd)).toMatchObject({ accepted: 2n * usd })
  })

  it('grants nothing more upon vouchers that a settlement has ended, until its payer has signed anew', async () => {
    verifies('T25')
    const s = await scene({ slice: 200_000n })
    await s.tick(100_000n, { opens: true })
    expect(await s.tick(2n * usd)).toMatchObject({ granted: 200_000n, ahead: 300_000n })
    expect(await s.rail.grow(s.lane(150_000n))).toMatchObject({ granted: 350_000n })
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: 100_000n })
    expect(await s.rail.grow(s.lane(300_000n))).toMatchObject({ granted: 350_000n, ahead: 0n, accepted: 100_000n })
    expect(await s.tick(2n * usd)).toMatchObject({ granted: 500_000n, accepted: 2n * usd })
  })

  it('refuses what is not signed by its key, of another channel, above what is there, older, or replayed', async () => {
    verifies('T12')
    verifies('T13')
    const s = await scene({ amount: usd })
    const stranger = await scene({ amount: usd })
    expect(await s.tick(usd + 1n, { opens: true })).toMatchObject({
      status: 402,
      reason: 'invalid_flow402x_nonce_cumulative_exceeds_balance',
    })
    expect(await s.tick(600_000n, { opens: true })).toMatchObject({ accepted: 600_000n })
    expect(await s.tick(500_000n)).toMatchObject({ status: 409, accepted: 600_000n })
    expect(await s.tick(600_000n)).toMatchObject({ accepted: 600_000n })
    expect(await s.tick(700_000n, { epoch: await stranger.epoch() })).toBe('unsigned')
    const good = await s.payment(700_000n)
    // Made above, by these names.
    const payload = good.payment.payload as { channel: NonceChannel; voucher: Record<string, string> }
    const changed = (channel: object, voucher: object): Submission => ({
      ...good,
      payment: {
        ...good.payment,
        payload: { type: 'voucher', channel: { ...payload.channel, ...channel }, voucher: { ...payload.voucher, ...voucher } },
      },
    })
    const reasons = await Promise.all(
      [
        changed({}, { maxClaimableAmount: '700001' }),
        changed({}, { settled: '1' }),
        changed({}, { nonce: stranger.id }),
        changed({ session: stranger.id }, {}),
        changed({}, { channelId: stranger.id }),
        changed({ receiver: local.buyer.address }, {}),
        changed({}, { signature: '1'.repeat(64) }),
      ].map(async (one) => {
        const refusal = await s.rail.check(one)
        return 'reason' in refusal ? refusal.reason.replace('invalid_flow402x_nonce_', '') : 'taken'
      }),
    )
    expect(reasons).toEqual([
      'voucher_signature',
      'voucher_signature',
      'voucher_signature',
      'channel_id_mismatch',
      'channel_id_mismatch',
      'channel_id_mismatch',
      'voucher_signature',
    ])
    // The terms of the offer, and not the payer's own.
    const { extra, ...terms } = s.requirements
    for (const requirements of [
      { ...s.requirements, payTo: local.buyer.address },
      { ...terms, extra: { ...extra, nonceAuthority: stranger.id } },
    ])
      expect(await s.rail.check({ ...good, requirements })).toMatchObject({ reason: expect.stringMatching(/receiver|authority/) })
  })

  it('stops granting within one reading when its payer revokes, and tells what was lost', async () => {
    verifies('T15')
    const s = await scene()
    await s.tick(2n * usd, { opens: true })
    await s.rail.grow(s.lane(1_500_000n))
    await s.tick(1_500_000n)
    await s.send([getRevokeInstruction({ source: at(s.channel, 'purse'), owner: s.payer })])
    s.clock.now += 15_001
    expect(await s.rail.grow(s.lane(1_600_000n))).toMatchObject({ isDraining: true, granted: 2n * usd })
    expect(await s.tick(3n * usd)).toMatchObject({ status: 423 })
    // What was granted before is the server's risk: the next slice is refused.
    expect(await s.rail.grow(s.lane(2n * usd))).toMatchObject({ granted: 2n * usd, used: 2n * usd })
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: 0n })
    expect(s.events).toMatchObject([{ type: 'channelPoisoned', channelId: s.id, owed: 2n * usd }])
    // It is told once, and nothing was signed or sent for it.
    await s.runner.round({ all: true })
    expect(s.events).toHaveLength(1)
    expect((await s.epoch()).settled).toBe(0n)
  })

  it('settles at once what is left when its payer takes part of the money back', async () => {
    verifies('T15')
    const s = await scene({ amount: 3n * usd })
    await s.tick(500_000n, { opens: true })
    await s.tick(2n * usd)
    await s.rail.grow(s.lane(600_000n))
    // Owed is far below the usual dollar, and new.
    expect(await s.runner.round()).toMatchObject({ settled: 0n })
    await s.send([
      getApproveCheckedInstruction({
        source: at(s.channel, 'purse'),
        mint: local.usdc.address,
        delegate: at(s.channel, 'multisig'),
        owner: s.payer,
        amount: usd,
        decimals: 6,
      }),
    ])
    expect(await s.runner.round()).toMatchObject({ claimed: 1, settled: 500_000n })
    expect(s.events).toMatchObject([
      { type: 'channelWithdrawing', owed: 600_000n },
      { type: 'channelsClaimed', amount: 500_000n },
    ])
  })

  it('settles by age and by amount, and never what is not worth the fee', async () => {
    verifies('FS1-NONCE-TRIGGERS')
    const s = await scene()
    await s.tick(5_000n, { opens: true })
    await s.rail.grow(s.lane(5_000n))
    s.clock.now += 120_000
    expect(await s.runner.round()).toMatchObject({ settled: 0n })
    await s.tick(20_000n)
    await s.rail.grow(s.lane(20_000n))
    expect(await s.runner.round()).toMatchObject({ settled: 20_000n })
    await s.tick(usd + 20_000n)
    await s.rail.grow(s.lane(usd + 20_000n))
    expect(await s.runner.round()).toMatchObject({ settled: usd })
  })
})

describe('what becomes of a settlement', () => {
  it('that was asked for and never heard of is asked for again, settles once, and takes no tick meanwhile', async () => {
    verifies('T23')
    verifies('F11')
    const store = memoryStore()
    const s = await scene({ store })
    const before = await s.received()
    await s.tick(usd, { opens: true })
    await s.rail.grow(s.lane(usd))
    const { vouchers } = s.scheme
    // The process dies between the facilitator's settlement and its own next word.
    const dying: Facilitator = {
      ...s.facilitator,
      async settle(submission, options) {
        await s.facilitator.settle(submission, options)
        throw new Error('killed')
      },
    }
    const told: ChannelEvent[] = []
    const first = vouchers?.runner({ facilitator: dying, onEvent: (event) => told.push(event) })
    expect(await first?.round({ all: true })).toMatchObject({ settled: 0n })
    expect(told).toMatchObject([{ type: 'error' }])
    expect(await s.tick(2n * usd, { epoch: s.first })).toMatchObject({ status: 429, reason: 'invalid_flow402x_nonce_settling' })
    await first?.close()
    expect(await s.runner.round({ all: true })).toMatchObject({ claimed: 0, settled: 0n })
    expect((await s.received()) - before).toBe(usd)
    expect(await s.epoch()).toMatchObject({ settled: usd })
    expect(await s.tick(2n * usd)).toMatchObject({ accepted: 2n * usd })
  })

  it('never comes where the authority ends the epoch itself: lanes gate, and their payer signs for all of it anew', async () => {
    verifies('F17')
    verifies('M30')
    const s = await scene()
    const before = await s.received()
    await s.tick(2n * usd, { opens: true })
    await s.rail.grow(s.lane(usd))
    // A voucher that fails on the chain takes the nonce, and with it all that was signed over it.
    const burnt = { nonce: s.first.nonce, amount: 1n << 60n }
    await s.settle({ ...burnt, signature: await s.sign(burnt) })
    s.clock.now += 15_001
    expect(await s.rail.grow(s.lane(2n * usd))).toMatchObject({ used: 2n * usd, granted: 2n * usd, ahead: 0n, channel: { claimed: 0n } })
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: 0n })
    expect(await s.tick(2n * usd, { epoch: s.first })).toMatchObject({ status: 402, reason: 'invalid_flow402x_nonce_stale_nonce' })
    expect(await s.tick(2n * usd)).toMatchObject({ accepted: 2n * usd })
    expect(await s.runner.round({ all: true })).toMatchObject({ settled: 2n * usd })
    expect((await s.received()) - before).toBe(2n * usd)
  })

  it('is one of two runners’, and once', async () => {
    verifies('T25')
    const s = await scene()
    const before = await s.received()
    const other = s.scheme.vouchers?.runner({ facilitator: s.facilitator })
    await s.tick(usd, { opens: true })
    await s.rail.grow(s.lane(usd))
    const rounds = await Promise.all([s.runner.round({ all: true }), other?.round({ all: true })])
    expect(rounds.filter((one) => one?.led)).toHaveLength(1)
    await other?.close()
    expect((await s.received()) - before).toBe(usd)
  })

  it('is refused before it is signed where it would fail, and its epoch lives on', async () => {
    verifies('T25')
    const s = await scene()
    const settle = async (submission: Submission) => await s.facilitator.settle(submission, { claimId: crypto.randomUUID() })
    const asked = async (max: bigint, change: object = {}): Promise<Submission> => {
      const { payment } = await s.payment(max)
      const requirements = { ...s.requirements, amount: `${max}`, ...change }
      return { payment: { ...payment, accepted: requirements, payload: { ...payment.payload, type: 'settle' } }, requirements }
    }
    const nonce = (await s.epoch()).nonce
    expect(await settle(await asked(11n * usd))).toMatchObject({
      status: 'notSettled',
      reason: 'invalid_flow402x_nonce_settlement_simulation',
    })
    expect(await settle(await asked(usd, { amount: '7' }))).toMatchObject({
      status: 'notSettled',
      reason: 'invalid_flow402x_nonce_cumulative_amount_mismatch',
    })
    expect(await settle(await s.payment(usd))).toMatchObject({ status: 'notSettled', reason: 'invalid_flow402x_nonce_payload_type' })
    expect((await s.epoch()).nonce).toBe(nonce)
    const good = await asked(usd)
    expect(await settle(good)).toMatchObject({ status: 'settled', amount: `${usd}`, payer: s.channel.payer })
    // Whoever asks again hears the same, and it is settled once.
    expect(await settle(good)).toMatchObject({ status: 'settled', amount: `${usd}` })
    expect(await s.epoch()).toMatchObject({ settled: usd })
  })

  it('is signed by the chain for the accounts of a channel’s own terms alone', async () => {
    verifies('A5')
    const s = await scene()
    const { payment } = await s.payment(usd)
    const submission = {
      payment: { ...payment, payload: { ...payment.payload, type: 'settle' } },
      requirements: { ...s.requirements, amount: `${usd}` },
    }
    const chain = solanaChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey] })
    const [call] = nonceVoucherFacilitator({ chain }).plan(submission)
    if (call === undefined) throw new Error('no call')
    const by = { signer: local.facilitator.address, nonce: 0n }
    expect(await chain.sign([call], by)).toMatchObject({ signer: local.facilitator.address })
    const others = [
      textOf({ ...s.channel, salt: 'f'.repeat(32) }),
      textOf({ ...s.channel, receiver: local.buyer.address }),
      'spl-token',
      '',
    ]
    for (const target of others)
      await expect(chain.sign([{ ...call, target }], by)).rejects.toMatchObject({ code: 'solana/unsafe-transaction' })
  })
})
