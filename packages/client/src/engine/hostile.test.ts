import { setTimeout as wait } from 'node:timers/promises'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { answer, ask, asking, cent, failed, pending, type Seen, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { createClient } from './client.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

type Answers = (response: Parameters<typeof answer>[0], tries: number, seen: Seen) => unknown
const never: Answers = () => undefined
const hangUp: Answers = (response) => response.destroy()

/** What a seller, or a facilitator behind it, may do with a payment, how the call ends and where its cent is then. */
const modes: readonly [mode: string, answers: Answers, ends: string, cent: 'reserved' | 'committed'][] = [
  ['accepts and hangs', never, 'client/settle-unknown', 'reserved'],
  ['accepts and hangs up', hangUp, 'client/settle-unknown', 'reserved'],
  ['answers 500 after settling', (response) => answer(response, settled, { status: 500 }), '500', 'committed'],
  ['answers 500 without a word', (response) => response.writeHead(500).end(), '500', 'reserved'],
  [
    'settles, breaks, and says so when asked again',
    (response, tries) => (tries === 1 ? response.destroy() : answer(response, settled)),
    '200',
    'committed',
  ],
  ['says success without settling', (response) => answer(response, { ...settled, transaction: '' }), '200', 'committed'],
  [
    'says that it failed, and to sign again',
    (response) => answer(response, { ...failed, retry: 'resign' }, { status: 402 }),
    '402',
    'reserved',
  ],
  [
    'says that the signature is void',
    (response) => answer(response, { ...failed, errorReason: 'invalid_signature' }, { status: 402 }),
    '402',
    'reserved',
  ],
  ['says in two receipts that it did and did not', twice, '200', 'committed'],
  ['sends its answer in drops', slowly, '200', 'committed'],
  ['stays pending', (response) => answer(response, pending, { status: 503 }), 'client/settle-pending', 'reserved'],
  ['is busy for ever', (response) => response.writeHead(409, { 'Retry-After': '0' }).end(), 'client/settle-pending', 'reserved'],
  ['asks again', (response) => ask(response), '402', 'reserved'],
  ['asks again with a receipt of pending', (response) => answer(response, pending, { status: 402 }), '402', 'reserved'],
  ['asks for more', (response) => ask(response, asking([{ ...cent, amount: '20000' }])), 'client/offer-changed', 'reserved'],
  [
    'asks for somebody else',
    (response) => ask(response, asking([{ ...cent, payTo: `0x${'1'.repeat(40)}` }])),
    'client/offer-changed',
    'reserved',
  ],
  ['asks for a form nobody reads', (response) => response.writeHead(402, { 'PAYMENT-REQUIRED': 'e30=' }).end(), '402', 'reserved'],
  [
    'sends it away',
    (response) => response.writeHead(307, { Location: 'http://other.example/' }).end(),
    'client/paid-redirect-refused',
    'reserved',
  ],
  ['sends it in circles', (response) => response.writeHead(307, { Location: '/' }).end(), 'client/paid-redirect-refused', 'reserved'],
  ['answers with no HTTP', (response) => response.socket?.end('garbage\r\n\r\n'), 'client/settle-unknown', 'reserved'],
]

describe('a hostile seller or facilitator gets one authorization for a call', () => {
  verifies(['H2', 'A15', 'A30'])
  it.each(modes)('that %s', async (_, answers, ends, place) => {
    let tries = 0
    const seller = await startSeller((seen, response) => (seen.payment === undefined ? ask(response) : answers(response, ++tries, seen)))
    sellers.push(seller)
    const [account] = developmentAccounts
    if (account === undefined) throw new Error('there are no development accounts')
    const signer = privateKeySigner(account.privateKey)
    let signatures = 0
    const counting: typeof signer = {
      address: signer.address,
      sign(input) {
        signatures += 1
        return signer.sign(input)
      },
    }
    const retry = { attempts: 3, attemptMs: 300, firstDelayMs: 1, maxDelayMs: 5 }
    const client = createClient({ schemes: [exactEvmClient({ signer: counting })], retry })
    const call = () =>
      client.fetch(seller.url, { method: 'POST', body: 'hello', callId: 'one' }).then(
        ({ status }) => String(status),
        (error: { code?: string }) => error.code ?? String(error),
      )
    expect(await call()).toBe(ends)
    await call()
    expect(signatures).toBe(1)
    const sent = seller.seen.flatMap(({ payment }) => payment?.payload.signature ?? [])
    expect(new Set(sent).size).toBe(1)
    const { reserved, committed } = (await client.spent()).total
    expect({ reserved, committed }).toEqual({ reserved: '$0', committed: '$0', [place]: '$0.01' })
  })
})

function twice(response: Parameters<typeof answer>[0]): void {
  response.setHeader('PAYMENT-RESPONSE', ['e30=', 'e30='])
  response.end('goods')
}

async function slowly(response: Parameters<typeof answer>[0]): Promise<void> {
  response.writeHead(200)
  for (let drop = 0; drop < 5; drop++) {
    response.write('.')
    await wait(20)
  }
  response.end()
}
