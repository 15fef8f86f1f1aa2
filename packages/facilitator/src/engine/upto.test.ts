import { privateKeySigner, uptoEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain, uptoEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { uptoEvmServer } from '@flow402x/adapters-evm/server'
import {
  type PaymentPayload,
  type PaymentRequirements,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
} from '@flow402x/core'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

let chain: EvmChain
let facilitator: LocalFacilitator
let runs = 0
let used: string | undefined
let ask: (headers?: HeadersInit) => Promise<Response>

beforeAll(async () => {
  chain = await startEvmChain()
  const { network, rpcUrl, contracts, buyer, usdc, seller } = chain
  const data = `0x095ea7b3${contracts.permit2.slice(2).padStart(64, '0')}${'f'.repeat(64)}`
  await chain.rpc('eth_sendTransactionSync', [{ from: buyer.address, to: usdc.address, data }])
  const writer = evmChain({ network, rpcUrl, signers: [chain.owner.privateKey, chain.facilitator.privateKey] })
  facilitator = createFacilitator({ schemes: [uptoEvmFacilitator({ chain: writer })], finality: 0 })
  await facilitator.start()
  const schemes = [uptoEvmServer({ network, payTo: seller.address })]
  const server = createServer({ facilitator, schemes, store: memoryStore() })
  const charge = paid(server, { price: '$0.10' }, () => {
    runs += 1
    return Response.json({ runs }, used === undefined ? {} : { headers: { 'Settlement-Overrides': used } })
  })
  ask = (headers = {}) => charge(new Request('http://shop.test/tokens', { headers }))
})
afterAll(async () => {
  await facilitator.close({ signal: AbortSignal.timeout(1000) })
  await chain.stop()
})

const received = () => chain.balanceOf(chain.seller.address)

async function sign(): Promise<{ payment: PaymentPayload; requirements: PaymentRequirements }> {
  const required = paymentRequiredHeader.decode((await ask()).headers.get('PAYMENT-REQUIRED') ?? '')
  const [requirements] = required.accepts
  if (requirements === undefined) throw new TypeError('no offer')
  const client = uptoEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })
  const { payload } = await client.prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
}

const send = ({ payment }: { payment: PaymentPayload }) => ask({ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) })
const receiptOf = (answer: Response) => paymentResponseHeader.decode(answer.headers.get('PAYMENT-RESPONSE') ?? '')

describe('a seller of what is used, up to a price', () => {
  it.each([
    ['{"amount":"1234"}', 1234n],
    ['{ "amount": "12.5%" }', 12_500n],
    ['{"amount":"$0.0042"}', 4200n],
    ['{"amount":"100000"}', 100_000n],
    [undefined, 100_000n],
  ])('is paid what its handler says: %s', async (override, amount) => {
    verifies(['UPTO-EVM', 'H28'])
    used = override
    const before = await received()
    const answer = await send(await sign())
    expect(answer.status).toBe(200)
    expect(answer.headers.get('Settlement-Overrides')).toBe(null)
    expect(receiptOf(answer)).toMatchObject({ success: true, amount: `${amount}` })
    await expect.poll(received).toBe(before + amount)
  })

  it('is paid nothing where nothing was used, and the payment is done', async () => {
    verifies('UPTO-EVM')
    used = '{"amount":"0"}'
    const [before, payment] = [await received(), await sign()]
    const answer = await send(payment)
    expect(answer.status).toBe(200)
    expect(receiptOf(answer)).toMatchObject({ success: true, amount: '0', transaction: '' })
    used = '{"amount":"5"}'
    expect((await send(payment)).status).toBe(402)
    expect(await received()).toBe(before)
  })

  it.each(['{"amount":"100001"}', '{"amount":"100.01%"}', '{"amount":"$0.11"}', '{"amount":"-1"}', '{"amount":7}', 'half'])(
    'is paid nothing for what cannot be settled: %s',
    async (override) => {
      verifies('H28')
      used = override
      const before = await received()
      const answer = await send(await sign())
      expect(answer.status).toBe(500)
      expect(receiptOf(answer)).toMatchObject({ success: false, errorReason: 'handler_failed' })
      expect(await received()).toBe(before)
    },
  )

  it('is paid once, however often one payment comes', async () => {
    verifies(['A10', 'UPTO-EVM'])
    used = '{"amount":"60000"}'
    const [before, payment, ran] = [await received(), await sign(), runs]
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(payment)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(runs).toBe(ran + 1)
    expect(await received()).toBe(before + 60_000n)
  })
})

describe('a facilitator of ceilings', () => {
  it('takes no more than was signed, and once, whatever twenty sellers ask at once', async () => {
    verifies(['A10', 'UPTO-EVM', 'ERROR-CODES'])
    used = undefined
    const [before, { payment, requirements }] = [await received(), await sign()]
    const over = await facilitator.settle({ payment, requirements: { ...requirements, amount: '100001' } }, { claimId: 'over' })
    expect(over).toMatchObject({ status: 'notSettled', reason: 'invalid_payment_requirements' })
    const nothing = await facilitator.settle({ payment, requirements: { ...requirements, amount: '0' } }, { claimId: 'nothing' })
    expect(nothing).toMatchObject({ status: 'settled', transaction: '', amount: '0' })
    const parts = Array.from({ length: 20 }, (_, index) => `${(index + 1) * 5000}`)
    const outcomes = await Promise.all(
      parts.map((amount, index) =>
        facilitator.settle({ payment, requirements: { ...requirements, amount } }, { claimId: `part-${index}` }),
      ),
    )
    const settled = outcomes.flatMap((outcome) => (outcome.status === 'settled' ? [BigInt(outcome.amount ?? 0)] : []))
    expect(settled).toHaveLength(1)
    expect((await received()) - before).toBe(settled[0])
    expect(settled[0]).toBeLessThanOrEqual(100_000n)
  })

  it('sends from the signer whom the payer named, and refuses payments that name another', async () => {
    verifies('UPTO-EVM')
    const { payment, requirements } = await sign()
    expect(requirements.extra?.facilitatorAddress).toBe(chain.owner.address)
    const outcome = await facilitator.settle({ payment, requirements }, { claimId: 'named' })
    const transaction = Object(await chain.rpc('eth_getTransactionByHash', [outcome.transaction]))
    expect(String(transaction.from)).toBe(chain.owner.address.toLowerCase())
    const extra = { ...requirements.extra, facilitatorAddress: chain.seller.address }
    const client = uptoEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })
    const asked = { ...requirements, extra }
    const { payload } = await client.prepare(asked, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
    const foreign = { payment: { x402Version: 2, accepted: asked, payload: { ...payload } }, requirements: asked } as const
    expect(await facilitator.verify(foreign)).toMatchObject({ valid: false, reason: 'upto_facilitator_mismatch' })
  })
})
