import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { batchSignature, channelPayer, type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openShop, type ShopPlan } from '../fixtures/channel-shop.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
beforeAll(async () => {
  chain = await startEvmChain()
  facilitator = await escrowFacilitator(chain)
})
afterAll(() => chain?.stop())

const price = 10_000n
const prefix = 'invalid_batch_settlement_evm_'

/** A shop with one payer. */
async function open(plan: Omit<ShopPlan, 'chain' | 'facilitator'> = {}) {
  const shop = await openShop({ chain, facilitator, ...plan })
  const payer = await shop.newPayer()
  return { ...shop, payer, row: () => shop.row(payer) }
}

/** What a receipt says of a charge. */
const charge = (amount: bigint, cumulative: bigint) => ({
  success: true,
  transaction: '',
  amount: '',
  payer: chain.buyer.address.toLowerCase(),
  extra: { chargedAmount: `${amount}`, channelState: { chargedCumulativeAmount: `${cumulative}` } },
})

describe('a seller over channels', () => {
  it('says what channels he takes', async () => {
    const { payer } = await open()
    const { accepted } = await payer.voucher(price)
    expect(accepted).toMatchObject({
      scheme: 'batch-settlement',
      amount: `${price}`,
      extra: { receiverAuthorizer: chain.owner.address, withdrawDelay: 900, name: 'USDC', version: '2', minDeposit: `${10n * price}` },
    })
    expect(accepted.extra).not.toHaveProperty('paymentFlow')
  })

  it('brings a deposit in, serves its voucher, and each further one without chain and facilitator', async () => {
    verifies('M26')
    const { payer, pay, row, runs, events } = await open()
    const before = facilitator.asked.length
    const first = await pay(payer.deposit(price, { amount: 5n * price, salt: 1n }))
    expect(first).toMatchObject({
      status: 200,
      body: 'goods',
      receipt: { ...charge(price, price), transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/), amount: `${5n * price}` },
    })
    expect(await pay(payer.voucher(2n * price))).toMatchObject({ status: 200, receipt: charge(price, 2n * price) })
    expect(await pay(payer.voucher(3n * price))).toMatchObject({ status: 200, receipt: charge(price, 3n * price) })
    expect(facilitator.asked.slice(before).map(({ type }) => type)).toEqual(['deposit'])
    expect([runs(), await row()]).toMatchObject([3, { charged: 3n * price, top: 3n * price }])
    expect(events.filter(({ type }) => type === 'delivered')).toHaveLength(3)
  })

  it('settles a deposit once, whoever brings it how often, and runs once for its voucher', async () => {
    verifies('M26')
    const { payer, pay, runs, row } = await open()
    const payment = await payer.deposit(price, { amount: 5n * price, salt: 1n })
    const answers = await Promise.all(Array.from({ length: 6 }, () => pay(payment)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(await pay(payment)).toMatchObject({ status: 402, required: { error: `${prefix}cumulative_amount_mismatch` } })
    expect([runs(), (await row())?.funds.balance]).toEqual([1, 5n * price])
  })

  it('answers that nobody knows while a deposit hangs, and asks the chain and not the facilitator whether it came in', async () => {
    verifies(['M5', 'M13'])
    const { payer, pay, runs, row } = await open()
    const payment = await payer.deposit(price, { amount: 5n * price, salt: 1n })
    try {
      facilitator.answer = 'refused'
      expect(await pay(payment)).toMatchObject({ status: 402, receipt: { success: false, errorReason: 'refused' } })
      facilitator.answer = 'lost'
      expect(await pay(payment)).toMatchObject({ status: 503, receipt: { success: false, errorReason: 'settlement_pending' } })
      facilitator.answer = 'silent'
      expect(await pay(payment)).toMatchObject({ status: 200, receipt: { success: true, transaction: expect.stringMatching(/^0x/) } })
      expect([runs(), (await row())?.charged]).toEqual([1, price])
    } finally {
      facilitator.answer = 'ok'
    }
  })

  it('charges nothing for a handler that fails, and the same voucher pays for another try', async () => {
    verifies('M3')
    let fails = true
    const { payer, pay, row } = await open({ handler: () => (fails ? new Response('no', { status: 500 }) : new Response('goods')) })
    const failed = await pay(payer.deposit(price, { amount: 5n * price, salt: 1n }))
    expect(failed).toMatchObject({
      status: 500,
      body: 'no',
      receipt: { success: true, amount: `${5n * price}`, extra: { chargedAmount: '0' } },
    })
    const voucher = await payer.voucher(price)
    expect(await pay(voucher)).toMatchObject({ status: 500, receipt: { success: false, errorReason: 'handler_failed', retry: 'same' } })
    expect(await row()).toMatchObject({ charged: 0n, held: [] })
    fails = false
    expect(await pay(voucher)).toMatchObject({ status: 200, receipt: charge(price, price) })
    expect(await pay(voucher)).toMatchObject({ status: 402 })
  })

  it('charges what a handler says was used, and no more than the price', async () => {
    verifies('M26')
    let used = '50%'
    const { payer, pay, row } = await open({
      handler: () => new Response('goods', { headers: { 'Settlement-Overrides': JSON.stringify({ amount: used }) } }),
    })
    await payer.fill(5n * price, 1n)
    expect(await pay(payer.voucher(price))).toMatchObject({ status: 200, receipt: charge(price / 2n, price / 2n) })
    used = '0'
    expect(await pay(payer.voucher(price + price / 2n))).toMatchObject({ status: 200, receipt: charge(0n, price / 2n) })
    used = `${price + 1n}`
    expect(await pay(payer.voucher(price + price / 2n))).toMatchObject({ status: 500, receipt: { errorReason: 'handler_failed' } })
    expect(await row()).toMatchObject({ charged: price / 2n })
  })

  it('streams on an upfront route, and charges when it is known that the handler did not fail', async () => {
    let fails = false
    const { payer, pay, row } = await open({
      options: { flow: 'upfront' },
      handler: () => (fails ? new Response('no', { status: 503 }) : new Response(new Response('goods').body)),
    })
    await payer.fill(5n * price, 1n)
    expect(await pay(payer.voucher(price))).toMatchObject({ status: 200, body: 'goods', receipt: charge(price, price) })
    fails = true
    expect(await pay(payer.voucher(2n * price))).toMatchObject({ status: 503, receipt: { errorReason: 'handler_failed' } })
    expect(await row()).toMatchObject({ charged: price })
  })

  it('serves many vouchers of one channel at once', async () => {
    verifies('M26')
    const { payer, pay, runs, row } = await open({
      handler: () => new Promise((done) => setTimeout(() => done(new Response('goods')), 50)),
    })
    await payer.fill(20n * price, 1n)
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => pay(payer.voucher(BigInt(index + 1) * price))))
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200))
    expect([runs(), (await row())?.charged]).toEqual([10, 10n * price])
  })

  it('tells a payer in the 402 where he may go on, and nobody without his signature', async () => {
    verifies(['A23', 'M26'])
    const { payer, pay } = await open()
    await payer.fill(5n * price, 1n)
    await pay(payer.voucher(price))
    const { status, required } = await pay(payer.voucher(price))
    expect([status, required?.error]).toEqual([402, `${prefix}cumulative_amount_mismatch`])
    expect(required?.accepts[0]?.extra).toMatchObject({
      channelState: { channelId: payer.id, balance: `${5n * price}`, totalClaimed: '0', chargedCumulativeAmount: `${price}` },
      voucherState: { signedMaxClaimable: `${price}`, signature: expect.stringMatching(/^0x/) },
    })
    const forged = await pay(payer.voucher(price, { signature: `0x${'11'.repeat(65)}` }))
    expect(forged).toMatchObject({ status: 402, required: { error: `${prefix}voucher_signature` } })
    expect(forged.required?.accepts[0]?.extra).not.toHaveProperty('voucherState')
  })

  it('has an answer that nobody had made again for the same voucher, which is charged once', async () => {
    verifies('M26')
    const { payer, send, pay, row, runs } = await open()
    await payer.fill(5n * price, 1n)
    const voucher = await payer.voucher(price)
    const lost = await send(voucher)
    await lost.body?.cancel()
    expect(await row()).toMatchObject({ charged: price, held: [{ used: price }] })
    expect(await pay(voucher)).toMatchObject({ status: 200, receipt: charge(price, price) })
    expect(await pay(voucher)).toMatchObject({ status: 402 })
    expect([runs(), (await row())?.charged]).toEqual([2, price])
  })

  it('makes an answer that nobody had again for the request that it was for, and for no other', async () => {
    verifies(['M9', 'M12'])
    const done: string[] = []
    const { payer, send, pay, row } = await open({
      handler: async (request) => {
        done.push(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`)
        return new Response('goods')
      },
    })
    await payer.fill(9n * price, 1n)
    const voucher = await payer.voucher(price)
    const post = (body: string, headers = {}) => ({ method: 'POST', body, headers: { 'content-length': `${body.length}`, ...headers } })
    await (await send(voucher, post('one'))).body?.cancel()
    for (const other of [post('two'), post('one', { authorization: 'me' }), { ...post('one'), path: '/dear' }, {}]) {
      const { status, required } = await pay(voucher, other)
      expect([status, required?.error]).toEqual([402, `${prefix}cumulative_amount_mismatch`])
      expect(required?.accepts[0]?.extra).toMatchObject({ channelState: { chargedCumulativeAmount: `${price}` } })
    }
    expect(done).toEqual(['POST /goods one'])
    // Who goes on pays for it, and can still come for the answer that he never had.
    expect(await pay(payer.voucher(2n * price), post('two'))).toMatchObject({ status: 200 })
    expect(await pay(voucher, post('one'))).toMatchObject({ status: 200, receipt: charge(price, price) })
    expect(await pay(voucher, post('one'))).toMatchObject({ status: 402 })
    expect(done).toEqual(['POST /goods one', 'POST /goods two', 'POST /goods one'])
    expect(await row()).toMatchObject({ charged: 2n * price, top: 2n * price })
  })

  it('charges nothing for a request that breaks off or is longer than it says, and its voucher pays for another try', async () => {
    verifies('M9')
    const { payer, send, pay, row, runs } = await open()
    await payer.fill(5n * price, 1n)
    const voucher = await payer.voucher(price)
    const asked = (body: string | ReadableStream) => ({ method: 'POST', body, headers: { 'content-length': '5' } })
    const broken = new ReadableStream({ start: (controller) => controller.error(new Error('gone')) })
    expect((await send(voucher, asked(broken))).status).toBe(400)
    expect((await send(voucher, asked('x'.repeat(12_000_000)))).status).toBe(413)
    expect([runs(), await row()]).toMatchObject([0, { charged: 0n, held: [] }])
    expect(await pay(voucher, asked('whole'))).toMatchObject({ status: 200, receipt: charge(price, price) })
  })

  it('takes no voucher again whose answer is still being read, however slowly', async () => {
    verifies(['M9', 'M26'])
    for (const flow of ['upfront', 'authorization'] as const) {
      const { payer, send, pay, row, runs } = await open({
        lease: 150,
        options: { flow },
        handler: () => new Response(new Response('x'.repeat(3_000_000)).body),
      })
      await payer.fill(5n * price, 1n)
      const voucher = await payer.voucher(price)
      const slow = await send(voucher)
      const reader = slow.body?.getReader()
      expect((await reader?.read())?.value?.length).toBeGreaterThan(0)
      await new Promise((resolve) => setTimeout(resolve, 400))
      expect(await pay(voucher)).toMatchObject({ status: 402, required: { error: `${prefix}channel_busy` } })
      while ((await reader?.read())?.done === false);
      expect(await pay(voucher)).toMatchObject({ status: 402 })
      expect([runs(), (await row())?.charged]).toEqual([1, price])
    }
  })

  it('has the work done no more than four times by one voucher, for who hangs up before each answer', async () => {
    verifies(['M8', 'M9'])
    const { payer, send, pay, row, runs } = await open()
    await payer.fill(5n * price, 1n)
    const voucher = await payer.voucher(price)
    for (let tries = 0; tries < 12; tries += 1) await (await send(voucher)).body?.cancel()
    expect([runs(), (await row())?.charged]).toEqual([4, price])
    expect(await pay(payer.voucher(2n * price))).toMatchObject({ status: 200, receipt: charge(price, 2n * price) })
  })

  it('gives back what was not charged, once, and sells no more than is left', async () => {
    verifies('M27')
    const { payer, pay, row, runs } = await open()
    await payer.fill(5n * price, 1n)
    expect(await pay(payer.refund(0n))).toMatchObject({ status: 402, required: { error: `${prefix}refund_no_balance` } })
    await pay(payer.voucher(price))
    const held = await chain.balanceOf(chain.buyer.address)
    expect(await pay(payer.refund(price, 5n * price))).toMatchObject({ status: 402, required: { error: `${prefix}refund_amount_invalid` } })
    const refund = await pay(payer.refund(price))
    expect(refund).toMatchObject({
      status: 200,
      body: JSON.stringify({ message: 'Refund acknowledged', channelId: payer.id }),
      receipt: {
        success: true,
        amount: `${4n * price}`,
        extra: { channelState: { balance: `${price}`, totalClaimed: `${price}`, refundNonce: '1' } },
      },
    })
    expect(refund.receipt?.extra).not.toHaveProperty('chargedAmount')
    expect((await chain.balanceOf(chain.buyer.address)) - held).toBe(4n * price)
    expect(await pay(payer.voucher(2n * price))).toMatchObject({ status: 402, required: { error: `${prefix}cumulative_exceeds_balance` } })
    expect([runs(), await row()]).toMatchObject([1, { refunding: 0n, charged: price }])
    // Deposits and refunds in turn cost the seller gas: the next refund wants as much bought again (M19).
    await payer.fill(5n * price, 2n)
    expect(await pay(payer.refund(price))).toMatchObject({ status: 402, required: { error: `${prefix}refund_no_balance` } })
  })

  it('refuses what was not signed for this channel on this chain, or for more than is in it, and says why', async () => {
    verifies(['A23', 'M28'])
    const { payer, pay, runs, row } = await open()
    const { accepted } = await payer.voucher(price)
    await payer.fill(5n * price, 1n)
    expect((await pay(payer.voucher(price))).status).toBe(200)
    const signed = (chainId: number) => {
      const message = { channelId: payer.id, maxClaimableAmount: 2n * price }
      return batchSignature(chain.buyer.privateKey, chainId, { primaryType: 'Voucher', message })
    }
    const right = await signed(chain.chainId)
    const [r, s, v] = [right.slice(2, 66), BigInt(`0x${right.slice(66, 130)}`), right.slice(130)]
    const high = `0x${r}${(curveOrder - s).toString(16).padStart(64, '0')}${v === '1b' ? '1c' : '1b'}`
    const other = await channelPayer(chain, { key: chain.seller.privateKey, accepted, salt: 77n })
    const { voucher: theirs } = (await other.voucher(2n * price)).payload
    const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
      ['another chain', { signature: await signed(1) }, 'voucher_signature'],
      ['a high s', { signature: high }, 'voucher_signature'],
      ['a higher amount than was signed', { maxClaimableAmount: `${3n * price}`, signature: right }, 'voucher_signature'],
      ['somebody else', Object(theirs), 'channel_id_mismatch'],
      ['garbage', { signature: `0x${'ab'.repeat(65)}` }, 'voucher_signature'],
      ['an old amount, with garbage', { maxClaimableAmount: '1', signature: `0x${'ab'.repeat(65)}` }, 'voucher_signature'],
      ['another channel', { channelId: `0x${'12'.repeat(32)}` }, 'channel_id_mismatch'],
    ]
    for (const [name, change, reason] of cases) {
      const answer = await pay(payer.voucher(2n * price, change))
      expect([name, answer.status, answer.required?.error]).toEqual([name, 402, `${prefix}${reason}`])
      expect(answer.required?.accepts[0]?.extra).not.toHaveProperty('voucherState')
    }
    const most = 5n * price + 1n
    expect((await pay(payer.voucher(most))).required?.error).toBe(`${prefix}cumulative_exceeds_balance`)
    for (const [field, value, reason] of [
      ['receiver', chain.owner.address, 'receiver_mismatch'],
      ['receiverAuthorizer', chain.buyer.address, 'receiver_authorizer_mismatch'],
      ['token', chain.contracts.permit2, 'token_mismatch'],
      ['withdrawDelay', 901, 'withdraw_delay_mismatch'],
    ] as const) {
      const payment = await payer.voucher(2n * price)
      const payload = { ...payment.payload, channelConfig: { ...payer.config, [field]: value } }
      expect([field, (await pay({ ...payment, payload })).required?.error]).toEqual([field, `${prefix}${reason}`])
    }
    expect((await pay({ ...(await payer.voucher(2n * price)), payload: { type: 'claim', claims: [] } })).required?.error).toBe(
      'invalid_payload',
    )
    expect([runs(), (await row())?.charged]).toEqual([1, price])
    expect((await pay({ ...(await payer.voucher(2n * price)) })).status).toBe(200)
  })
})

// Of the curve: a signature has a twin with the order minus s.
const curveOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
