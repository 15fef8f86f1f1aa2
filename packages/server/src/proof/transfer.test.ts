import { secretKeySender, transferProofSolanaClient } from '@flow402x/adapters-solana/client'
import { type TransferProofSolanaServerOptions, transferProofSolanaServer } from '@flow402x/adapters-solana/server'
import {
  type ClientScheme,
  type PaymentPayload,
  type PaymentRequirements,
  type Prepared,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
  type Store,
} from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type PaidOptions, type ServerEvent } from '../index.ts'

let local: SolanaChain
let payer: ClientScheme

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
  payer = transferProofSolanaClient({ signer: secretKeySender(local.buyer.privateKey), rpcUrl: local.rpcUrl })
})
afterAll(() => local?.stop())

type Opening = {
  readonly scheme?: Partial<TransferProofSolanaServerOptions>
  readonly options?: Partial<PaidOptions>
  readonly store?: Store
  readonly origin?: string
}

/** A shop that takes SOL by transfer, and needs nobody but the chain. */
function open({ scheme = {}, options, store = memoryStore(), origin = 'https://shop.test' }: Opening = {}) {
  const events: ServerEvent[] = []
  const state = { runs: 0, status: 200 }
  const server = createServer({
    store,
    origin,
    schemes: [
      transferProofSolanaServer({
        payTo: local.seller.address,
        rpcUrl: local.rpcUrl,
        secret: 'a secret of this shop and no other',
        patience: 600,
        ...scheme,
      }),
    ],
    onEvent: (event) => void events.push(event),
  })
  const charge = paid(server, { price: '0.001 SOL', ...options }, async (request) => {
    state.runs += 1
    return new Response(`goods ${state.runs} ${await request.text()}`, { status: state.status })
  })
  const ask = (path = '/', init: RequestInit = {}) => charge(new Request(`${origin}${path}`, init))
  const required = async (path = '/', init: RequestInit = {}) =>
    paymentRequiredHeader.decode((await ask(path, init)).headers.get('PAYMENT-REQUIRED') ?? '')
  return {
    server,
    state,
    events,
    ask,
    required,
    offer: async (path = '/', init: RequestInit = {}) => offerIn(await required(path, init)),
    pay: (payment: PaymentPayload, path = '/', init: RequestInit = {}) =>
      ask(path, { ...init, headers: { ...init.headers, 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) } }),
    plain: (headers: Record<string, string>, path = '/') => ask(path, { headers }),
  }
}

function offerIn({ accepts: [offer] }: { accepts: readonly PaymentRequirements[] }): PaymentRequirements {
  if (offer === undefined) throw new TypeError('nothing was offered')
  return offer
}

/** Makes the transfer that an offer asks for, and gives what shows it. */
async function transfer(offer: PaymentRequirements, by = payer): Promise<PaymentPayload> {
  const prepared: Prepared = await by.prepare(offer, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
  await by.send?.(prepared, offer)
  return { x402Version: 2, accepted: offer, payload: { ...prepared.payload } }
}

const receiptOf = (response: Response) => paymentResponseHeader.decode(response.headers.get('PAYMENT-RESPONSE') ?? '')
const held = async () => local.solBalance(local.seller.address)

describe('a transfer of SOL', () => {
  it('buys once, without a facilitator, and says in which transaction', async () => {
    verifies(['M22', 'PLAIN-CHALLENGE'])
    const shop = open()
    const before = await held()
    const payment = await transfer(await shop.offer())
    const response = await shop.pay(payment)
    expect([response.status, await response.text()]).toEqual([200, 'goods 1 '])
    expect(receiptOf(response)).toMatchObject({
      success: true,
      transaction: payment.payload.transaction,
      payer: local.buyer.address,
      amount: '1000000',
    })
    expect((await held()) - before).toBe(1_000_000n)
    const again = await shop.pay(payment)
    expect([again.status, await again.json()]).toMatchObject([402, { error: 'duplicate_settlement' }])
    expect(shop.state.runs).toBe(1)
  })
})
