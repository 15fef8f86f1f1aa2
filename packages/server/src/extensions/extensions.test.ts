import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner, evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type Extension, paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from '@flow402x/core'
import { checkReceipt, findReceipt, offerReceipt, type StatementSigner, signedTerms } from '@flow402x/core/receipt'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type PaidOptions, type ServerEvent, type ServerOptions } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const payTo = seller?.address ?? ''
const scheme = exactEvmServer({ network: 'base-sepolia', payTo })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
const wallet = evmStatementSigner(privateKeySigner(seller?.privateKey ?? '0x'))
const verifiers = [evmStatementVerifier()]

function open({ options, ...more }: Partial<ServerOptions> & { options?: Partial<PaidOptions> } = {}) {
  const events: ServerEvent[] = []
  const facilitator = answeringFacilitator(scheme)
  const server = createServer({ facilitator, schemes: [scheme], store: memoryStore(), onEvent: (event) => events.push(event), ...more })
  const charge = paid(server, { price: '$0.01', ...options }, () => new Response('goods'))
  const ask = (url: string, headers = {}) => charge(new Request(`http://shop.test${url}`, { headers }))
  return {
    ask,
    events,
    facilitator,
    required: async (url = '/') => paymentRequiredHeader.decode((await ask(url)).headers.get('PAYMENT-REQUIRED') ?? ''),
    async prepare(url = '/') {
      return paymentSignatureHeader.encode(
        await preparePayment(payer, { required: await this.required(url), id: 'a_secret_of_the_payer_01' }),
      )
    },
    warnings: () => events.flatMap((event) => (event.type === 'warning' ? [event.message] : [])),
  }
}

const receiptIn = (answer: Response) => paymentResponseHeader.decode(answer.headers.get('PAYMENT-RESPONSE') ?? '')
const saying = (info: Record<string, unknown>, more: Partial<Extension> = {}): Extension => ({
  key: 'says',
  declare: () => ({ info }),
  ...more,
})

describe('a receipt that the seller signed', () => {
  it.each(['authorization', 'upfront'] as const)('comes with what was paid for, in the flow %s', async (flow) => {
    verifies('BAZAAR-RECEIPTS')
    const shop = open({ extensions: [offerReceipt({ signers: [wallet] })], options: { flow } })
    const answer = await shop.ask('/?of=1', { 'PAYMENT-SIGNATURE': await shop.prepare('/?of=1') })
    expect(await answer.text()).toBe('goods')
    const settled = receiptIn(answer)
    const bought = { url: 'http://shop.test/?of=1', payer: buyer?.address ?? '', network: 'eip155:84532', payTo, verifiers }
    expect(await checkReceipt(findReceipt(settled), { ...bought, transaction: settled.transaction })).toEqual({
      status: 'valid',
      signer: payTo,
    })
  })

  it('is the same to the byte for who asks again', async () => {
    verifies('BAZAAR-RECEIPTS')
    let now = Date.now()
    const shop = open({ extensions: [offerReceipt({ signers: [wallet] })], clock: () => now })
    const payment = await shop.prepare()
    const first = await shop.ask('/', { 'PAYMENT-SIGNATURE': payment })
    now += 5000
    const again = await shop.ask('/', { 'PAYMENT-SIGNATURE': payment })
    expect(again.headers.get('PAYMENT-RESPONSE')).toBe(first.headers.get('PAYMENT-RESPONSE'))
    expect(findReceipt(receiptIn(again))).toBeDefined()
    expect(shop.facilitator.settled).toHaveLength(1)
  })

  it('is not made for what was not settled', async () => {
    const shop = open({ extensions: [offerReceipt({ signers: [wallet] })] })
    shop.facilitator.answer = 'refused'
    const answer = await shop.ask('/', { 'PAYMENT-SIGNATURE': await shop.prepare() })
    expect([answer.status, findReceipt(receiptIn(answer))]).toEqual([402, undefined])
  })

  it.each([
    ['fails', () => Promise.reject(new TypeError('the signer is away'))],
    ['never answers', () => new Promise<never>(() => {})],
  ])('costs its payer nothing where the signer %s', async (_, sign) => {
    verifies('BAZAAR-RECEIPTS')
    const away: StatementSigner = { ...wallet, sign }
    const shop = open({ extensions: [offerReceipt({ signers: [away], offers: false })] })
    const answer = await shop.ask('/', { 'PAYMENT-SIGNATURE': await shop.prepare() })
    expect([answer.status, await answer.text(), findReceipt(receiptIn(answer))]).toEqual([200, 'goods', undefined])
  })
})

describe('what extensions say in a 402', () => {
  it('is signed offers, which a payment need not echo', async () => {
    verifies('BAZAAR-RECEIPTS')
    const shop = open({ extensions: [offerReceipt({ signers: [wallet] })] })
    const required = await shop.required('/a')
    expect(await signedTerms(required, { now: Math.floor(Date.now() / 1000), verifiers })).toEqual(required.accepts)
    const { extensions, ...payment } = await preparePayment(payer, { required })
    expect(extensions).toBeUndefined()
    const echoed = { ...payment, extensions: { 'offer-receipt': { info: { offers: ['other'] } } } }
    expect((await shop.ask('/a', { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(echoed) })).status).toBe(200)
  })

  it('is left out from the end until a 402 and its echo fit, and the seller is told so', async () => {
    verifies('H27')
    const long = { text: 'x'.repeat(5000) }
    const shop = open({ options: { extensions: [saying(long, { brief: () => ({ info: { see: '/well-known' } }) })] } })
    const required = await shop.required()
    expect(required.extensions?.says).toEqual({ info: { see: '/well-known' } })
    expect(shop.warnings()).toEqual([expect.stringContaining('says')])
    const payment = await shop.prepare()
    expect(payment.length).toBeLessThan(8192)
    expect((await shop.ask('/', { 'PAYMENT-SIGNATURE': payment })).status).toBe(200)
  })

  it('is what fits: what is said anew goes before what is always said', async () => {
    verifies('H27')
    const ask = async () => ({ info: { always: 1, now: 'y'.repeat(4000) } })
    const shop = open({ options: { extensions: [saying({ always: 1 }, { dynamic: ['now'], ask })] } })
    expect((await shop.required()).extensions?.says).toEqual({ info: { always: 1 } })
    expect(shop.warnings()).toEqual([])
  })

  it('is what it always says where asking fails', async () => {
    const ask = () => Promise.reject(new TypeError('no'))
    const shop = open({ options: { extensions: [saying({ always: 1 }, { ask })] } })
    expect((await shop.required()).extensions?.says).toEqual({ info: { always: 1 } })
    expect(shop.events).toContainEqual({ type: 'error', error: new TypeError('no') })
  })

  it('may not be changed by who echoes it', async () => {
    verifies('ECHO')
    const shop = open({ options: { extensions: [saying({ always: 1 })] } })
    const payment = await preparePayment(payer, { required: await shop.required(), id: 'a_secret_of_the_payer_01' })
    const changed = { ...payment, extensions: { ...payment.extensions, says: { info: { always: 2 } } } }
    const answer = await shop.ask('/', { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(changed) })
    expect(paymentRequiredHeader.decode(answer.headers.get('PAYMENT-REQUIRED') ?? '').error).toBe('extension_echo_mismatch')
  })

  it('is said once', () => {
    expect(() => open({ extensions: [saying({})], options: { extensions: [saying({})] } })).toThrowError(
      expect.objectContaining({ code: 'config/duplicate-extension' }),
    )
  })

  it('names what is sold as catalogues show it', async () => {
    const shop = open({
      options: { serviceName: 'Teller', tags: ['ai', 'text'], iconUrl: 'https://shop.test/i.png', description: 'Stories' },
    })
    expect((await shop.required('/x')).resource).toEqual({
      url: 'http://shop.test/x',
      serviceName: 'Teller',
      tags: ['ai', 'text'],
      iconUrl: 'https://shop.test/i.png',
      description: 'Stories',
    })
  })
})
