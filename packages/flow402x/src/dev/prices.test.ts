import { exactEvmClient, privateKeySigner, transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer, transferProofEvmServer } from '@flow402x/adapters-evm/server'
import { exactSolanaClient, secretKeySender } from '@flow402x/adapters-solana/client'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { type ClientOptions, createClient } from '@flow402x/client'
import { assetId, assetOf, type PaymentRequirements, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { createServer, httpFacilitator, type PaidOptions, type ServerEvent, type ServerOptions } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from './dev.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev()
})
afterAll(() => dev?.close())

function chains() {
  const [evm] = dev.chains
  if (evm === undefined || dev.solana === undefined) throw new TypeError('a chain is missing')
  return { evm, solana: dev.solana }
}

const url = 'https://shop.example/words'
const secret = 'a secret of at least thirty-two letters'
const cents = (amount: number): string => `$0.${String(amount).padStart(2, '0')}`

/** A shop on both chains, as a function from requests to answers. */
function openShop(price: PaidOptions['price'], options: Partial<ServerOptions> = {}) {
  const { evm, solana } = chains()
  const events: ServerEvent[] = []
  const server = createServer({
    facilitator: httpFacilitator(dev.world.facilitator.url),
    store: memoryStore(),
    schemes: [
      exactEvmServer({ network: evm.network, payTo: evm.seller.address, rpcUrl: evm.rpcUrl }),
      exactSolanaServer({ network: solana.network, payTo: solana.seller.address, rpcUrl: solana.rpcUrl }),
    ],
    onEvent: (event) => events.push(event),
    ...options,
  })
  const served: string[] = []
  const route = paid(server, { price }, async (request: Request) => {
    served.push(await request.text())
    return new Response('goods')
  })
  const offers = async (init: RequestInit = {}): Promise<readonly PaymentRequirements[]> => {
    const response = await route(new Request(url, init))
    return paymentRequiredHeader.decode(response.headers.get('PAYMENT-REQUIRED') ?? '').accepts
  }
  return { server, route, served, events, offers }
}

const payer = () => exactEvmClient({ signer: privateKeySigner(chains().evm.buyer.privateKey) })

const buyerAt = (shop: { readonly route: (request: Request) => Promise<Response> }, options: Partial<ClientOptions> = {}) =>
  createClient({ schemes: [payer()], fetch: (input, init) => shop.route(new Request(input, init)), ...options })

/** Signs for an offer, and shows the payment with a request. */
async function present(
  shop: ReturnType<typeof openShop>,
  accepted: PaymentRequirements,
  { now = Date.now() / 1000, ...init }: RequestInit & { now?: number } = {},
) {
  const { payload } = await payer().prepare(accepted, { now: Math.floor(now), maxTimeoutSeconds: 300 })
  return show(shop, paymentSignatureHeader.encode({ x402Version: 2, accepted, payload: { ...payload } }), init)
}

async function show(shop: ReturnType<typeof openShop>, payment: string, init: RequestInit = {}) {
  const response = await shop.route(new Request(url, { ...init, headers: { 'PAYMENT-SIGNATURE': payment } }))
  const { error } = await response
    .clone()
    .json()
    .catch(() => ({ error: undefined }))
  return { status: response.status, error, text: await response.text() }
}

const earned = async (call: () => Promise<unknown>): Promise<bigint> => {
  const { evm } = chains()
  const before = await evm.balanceOf(evm.seller.address)
  await call()
  return (await evm.balanceOf(evm.seller.address)) - before
}

const onEvm = (offers: readonly PaymentRequirements[]): PaymentRequirements => {
  const found = offers.find(({ network }) => network === chains().evm.network)
  if (found === undefined) throw new TypeError('no offer on the EVM chain')
  return found
}

/** A cent for each letter. */
const byLength: PaidOptions['price'] = async (request) => cents((await request.body(1000))?.length ?? 0)

describe('a price that depends on the request', () => {
  it('is charged to the atomic unit, on either chain', async () => {
    verifies('PRICE-QUOTED')
    const { solana } = chains()
    const shop = openShop(byLength)
    expect(await earned(() => buyerAt(shop).fetch(url, { method: 'POST', body: 'seven l' }))).toBe(70_000n)
    expect(await earned(() => buyerAt(shop).fetch(url, { method: 'POST', body: 'ab' }))).toBe(20_000n)
    const before = await solana.balanceOf(solana.seller.address)
    const onSolana = exactSolanaClient({ signer: secretKeySender(solana.buyer.privateKey) })
    expect((await buyerAt(shop, { schemes: [onSolana] }).fetch(url, { method: 'POST', body: 'abc' })).status).toBe(200)
    expect((await solana.balanceOf(solana.seller.address)) - before).toBe(30_000n)
    expect(shop.served).toEqual(['seven l', 'ab', 'abc'])
  })

  it('buys nothing dearer: neither a longer text, nor another page, with what was asked for a short one', async () => {
    verifies('PRICE-QUOTED')
    const shop = openShop(byLength)
    const cheap = onEvm(await shop.offers({ method: 'POST', body: 'a' }))
    const units = await earned(async () => {
      expect(await present(shop, cheap, { method: 'POST', body: 'a long text' })).toMatchObject({
        status: 402,
        error: 'No matching payment requirements',
      })
      expect(await present(shop, cheap, { method: 'PUT', body: 'ab' })).toMatchObject({ status: 402 })
    })
    expect({ units, served: shop.served }).toEqual({ units: 0n, served: [] })
  })

  it('is not set by who pays: quotes that were made up, changed or another seller’s are none', async () => {
    verifies('PRICE-QUOTED')
    const [shop, other] = [openShop(byLength, { secret }), openShop(byLength, { secret: `${secret} of another` })]
    const init = { method: 'POST', body: 'five!' }
    const mine = onEvm(await shop.offers(init))
    const foreign = onEvm(await other.offers({ method: 'POST', body: 'a' }))
    const units = await earned(async () => {
      for (const change of [
        { amount: '1' },
        { payTo: chains().evm.buyer.address },
        { amount: '10000', extra: foreign.extra },
        { amount: '10000', extra: { ...mine.extra, quote: '00'.repeat(32) } },
        { amount: '10000', extra: { ...mine.extra, quote: { toString: 'x' } } },
      ])
        expect(await present(shop, { ...mine, ...change }, init)).toMatchObject({ status: 402 })
    })
    expect({ units, served: shop.served }).toEqual({ units: 0n, served: [] })
  })
})

describe('a price that changes', () => {
  const rising = () => {
    const state = { price: 1 }
    return { state, price: () => cents(state.price) }
  }

  it('is taken as it was asked, while its quote lasts', async () => {
    verifies('PRICE-QUOTED')
    const { state, price } = rising()
    const shop = openShop(price)
    const buyer = buyerAt({
      route: async (request) => {
        const answer = await shop.route(request)
        state.price += 3
        return answer
      },
    })
    expect(await earned(async () => expect((await buyer.fetch(url)).status).toBe(200))).toBe(10_000n)
    expect(await earned(async () => expect((await buyer.fetch(url)).status).toBe(200))).toBe(70_000n)
  })

  it('is refused as it was once the quote is over, and nothing is charged', async () => {
    verifies('PRICE-QUOTED')
    const { state, price } = rising()
    let late = 0
    const shop = openShop(price, { clock: () => Date.now() + late })
    const old = onEvm(await shop.offers())
    late = 301_000
    // The price is still this one, and the refusal another's: for the facilitator that signature is of a time to come.
    expect((await present(shop, old, { now: Date.now() / 1000 + 300 })).error).not.toBe('stale_quote')
    state.price = 2
    const units = await earned(async () => {
      expect(await present(shop, old, { now: Date.now() / 1000 + 300 })).toMatchObject({ status: 402, error: 'stale_quote' })
    })
    expect({ units, served: shop.served }).toEqual({ units: 0n, served: [] })
  })

  it('is known to every instance that has the secret, and to no other', async () => {
    verifies('PRICE-QUOTED')
    const dear = () => cents(50)
    const [one, two, stranger] = [
      openShop(() => cents(1), { secret }),
      openShop(dear, { secret: [`${secret}, newer`, secret] }),
      openShop(dear),
    ]
    const offer = onEvm(await one.offers())
    const units = await earned(async () => {
      expect(await present(stranger, offer)).toMatchObject({ status: 402 })
      expect(await present(two, offer)).toMatchObject({ status: 200, text: 'goods' })
    })
    expect(units).toBe(10_000n)
    expect(() => openShop(dear, { secret: 'too short' })).toThrow(expect.objectContaining({ code: 'config/weak-secret' }))
  })

  it('leaves who has paid with what he bought, after a restart that forgot every quote', async () => {
    verifies(['PRICE-QUOTED', 'M4'])
    const store = memoryStore()
    const [before, after] = [openShop(() => cents(1), { store }), openShop(() => cents(90), { store })]
    const accepted = onEvm(await before.offers())
    const { payload } = await payer().prepare(accepted, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
    const extensions = { 'payment-identifier': { info: { required: false, id: `pay_${'7'.repeat(32)}` } } }
    const payment = paymentSignatureHeader.encode({ x402Version: 2, accepted, payload: { ...payload }, extensions })
    const units = await earned(async () => {
      expect(await show(before, payment)).toMatchObject({ status: 200, text: 'goods' })
      expect(await show(after, payment)).toMatchObject({ status: 200, text: 'goods' })
    })
    expect({ units, served: after.served }).toEqual({ units: 10_000n, served: [] })
  })
})

describe('a $ price in a coin', () => {
  const withEther = (rate?: ServerOptions['rate']): Partial<ServerOptions> => {
    const { evm } = chains()
    const { network, rpcUrl, seller } = evm
    return {
      schemes: [
        exactEvmServer({ network, payTo: seller.address, rpcUrl }),
        transferProofEvmServer({ network, rpcUrl, payTo: seller.address, asset: 'ETH', secret, confirmations: 0n }),
      ],
      ...(rate === undefined ? {} : { rate }),
    }
  }
  const inEther = (offers: readonly PaymentRequirements[]) => offers.find(({ scheme }) => scheme === 'transfer-proof')

  it('is an error at start where nobody says what the coin is worth', () => {
    verifies('PRICE-QUOTED')
    expect(() => openShop('$0.05', withEther())).toThrow(expect.objectContaining({ code: 'config/no-rate' }))
    expect(() => openShop('0.001 ETH', withEther())).toThrow(expect.objectContaining({ code: 'config/no-rate' }))
  })

  it('comes to what the rate says, to the last unit and no less, and is paid', async () => {
    verifies('PRICE-QUOTED')
    const { evm } = chains()
    const { network, rpcUrl, buyer, seller } = evm
    const asked: string[] = []
    const shop = openShop(
      '$0.05',
      withEther((asset, currency) => `${asked.push(`${asset.symbol} in ${currency}`) > 0 ? '3000.1' : ''}`),
    )
    // 0.05 / 3000.1 = 0.0000166661111296…
    expect(inEther(await shop.offers())?.amount).toBe('16666111129630')
    expect(new Set(asked)).toEqual(new Set(['ETH in USD']))
    const scheme = transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [buyer.privateKey] }), pollMs: 20 })
    const caps = { [assetId(assetOf(network, 'ETH'))]: { perPayment: '0.001', total: '0.001' } }
    const before = await evm.ethBalance(seller.address)
    const response = await buyerAt(shop, { schemes: [scheme], budget: { caps }, store: memoryStore() }).fetch(url)
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: 'goods' })
    expect((await evm.ethBalance(seller.address)) - before).toBe(16_666_111_129_630n)
  })

  it.each([
    ['fails', () => Promise.reject(new TypeError('the oracle is away'))],
    [
      'throws',
      () => {
        throw new TypeError('there is no oracle')
      },
    ],
    ['is zero', () => '0'],
    ['is below zero', () => '-3000'],
    ['is no number', () => 'NaN'],
    ['is an exponent', () => '3e3'],
  ])('is not asked where the rate %s: the rest is sold all the same', async (_, rate) => {
    const shop = openShop('$0.05', withEther(rate))
    expect((await shop.offers()).map(({ scheme }) => scheme)).toEqual(['exact'])
    expect(shop.events).toContainEqual(expect.objectContaining({ type: 'error' }))
  })

  it('sells nothing where nothing is left to be paid in', async () => {
    const { schemes = [] } = withEther()
    const shop = openShop('$0.05', { schemes: schemes.slice(1), rate: () => '' })
    expect((await shop.route(new Request(url))).status).toBe(503)
  })
})
