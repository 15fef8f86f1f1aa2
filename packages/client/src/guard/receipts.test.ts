import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner, evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import type { SettleResponse } from '@flow402x/core'
import { offerReceipt } from '@flow402x/core/receipt'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../engine/client.ts'
import type { ClientEvent } from '../engine/event.ts'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { type Purchase, signedReceipts } from './receipts.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

const [, , owner, stranger] = developmentAccounts
const signerOf = (key: string | undefined) => evmStatementSigner(privateKeySigner(key ?? '0x'))
const mine = signerOf(owner?.privateKey)
const offer = { ...cent, payTo: mine.address }
const verifiers = [evmStatementVerifier()]

type Sold = Parameters<NonNullable<ReturnType<typeof offerReceipt>['receipt']>>[0]

/** A seller whose receipts say what `change` makes of the truth, signed by `by`. */
async function buy({ by = mine, change = {}, signed = true }: { by?: typeof mine; change?: Partial<Sold>; signed?: boolean } = {}) {
  const seller = await startSeller(async ({ payment, url }, response) => {
    if (payment === undefined) return ask(response, asking([offer]))
    const truth = {
      url: new URL(url, seller.url).href,
      payer: '0x1',
      network: cent.network,
      transaction: settled.transaction,
      at: Math.floor(Date.now() / 1000),
    }
    const told = await offerReceipt({ signers: [by] }).receipt?.({ ...truth, ...change })
    const receipt: SettleResponse = signed ? { ...settled, extensions: { 'offer-receipt': told } } : settled
    return answer(response, receipt)
  })
  sellers.push(seller)
  const events: ClientEvent[] = []
  const store = memoryStore()
  const client = createClient({ schemes: [pen()], store, receipts: signedReceipts({ verifiers }), onEvent: (event) => events.push(event) })
  const response = await client.fetch(`${seller.url}/story?of=1`)
  const purchases: Purchase[] = []
  for await (const purchase of createClient({ schemes: [pen()], store }).purchases()) purchases.push(purchase)
  const paid = events.find((event) => event.type === 'paid')
  return {
    status: response.status,
    standing: paid?.type === 'paid' ? paid.standing : undefined,
    purchases,
    url: `${seller.url}/story?of=1`,
  }
}

describe('a receipt', () => {
  it('that the payee signed is valid, and is kept with what was bought', async () => {
    verifies('BAZAAR-RECEIPTS')
    const { standing, purchases, url } = await buy()
    expect(standing).toEqual({ status: 'valid', signer: mine.address })
    expect(purchases).toMatchObject([
      { url, method: 'GET', requirements: offer, receipt: { success: true, extensions: { 'offer-receipt': {} } } },
    ])
  })

  it.each([
    ['of a stranger', { by: signerOf(stranger?.privateKey) }, 'not the seller'],
    ['for another URL', { change: { url: 'https://other.example/' } }, 'another URL'],
    ['for another payer', { change: { payer: mine.address } }, 'another payer'],
    ['of another transaction', { change: { transaction: `0x${'9'.repeat(64)}` } }, 'another transaction'],
    ['of last year', { change: { at: 1_700_000_000 } }, 'another time'],
  ])('%s is told, and takes nothing away from the purchase', async (_, options, why) => {
    verifies('BAZAAR-RECEIPTS')
    const { status, standing, purchases } = await buy(options)
    expect([status, standing]).toEqual([200, { status: 'invalid', why: expect.stringContaining(why) }])
    expect(purchases).toHaveLength(1)
  })

  it('that is not signed is absent', async () => {
    expect((await buy({ signed: false })).standing).toEqual({ status: 'absent' })
  })
})
