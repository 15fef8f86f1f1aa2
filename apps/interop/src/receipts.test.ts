import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner, evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import { solanaStatementSigner, solanaStatementVerifier } from '@flow402x/adapters-solana/receipt'
import { type ClientEvent, createClient, type Purchase, signedReceipts } from '@flow402x/client'
import { offerReceipt, type StatementSigner, signedTerms } from '@flow402x/core/receipt'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import type { EvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import { decodePaymentRequiredHeader } from '@x402/core/http'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import {
  createEIP712OfferReceiptIssuer,
  createJWSOfferReceiptIssuer,
  createOfferReceiptExtension,
  declareOfferReceiptExtension,
  decodeSignedOffers,
  extractOffersFromPaymentRequired,
  extractReceiptFromResponse,
  findAcceptsObjectFromSignedOffer,
  isEIP712SignedOffer,
  isEIP712SignedReceipt,
  isJWSSignedReceipt,
  type OfferReceiptIssuer,
  verifyOfferSignatureEIP712,
  verifyReceiptMatchesOffer,
  verifyReceiptSignatureEIP712,
  verifyReceiptSignatureJWS,
} from '@x402/extensions/offer-receipt'
import { wrapFetchWithPayment } from '@x402/fetch'
import express from 'express'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { network, startEvmWorld } from './chains/evm.ts'
import { type Listening, listen, type World } from './world.ts'

// Offers and receipts of one house, read and verified by the other (wire.md §16.4).

let world: World<EvmChain>
const open: Listening[] = []

beforeAll(async () => {
  world = await startEvmWorld()
})
afterAll(async () => {
  await Promise.all(open.map((shop) => shop.close()))
  await world?.close()
})

const goodsKey = new Uint8Array(32).fill(5)
const verifiers = [evmStatementVerifier(), solanaStatementVerifier()]

async function ourShop(signer: StatementSigner, { transaction = true } = {}): Promise<string> {
  const facilitator = world.facilitators['ours, HTTP']
  const server = createServer({
    facilitator: facilitator.value,
    store: memoryStore({ force: true }),
    schemes: [world.schemes.ourServer(world.chain.seller.address, facilitator)],
    extensions: [offerReceipt({ signers: [signer], transaction })],
  })
  return opened(await listen(getRequestListener(paid(server, { price: '$0.01' }, () => Response.json('goods')))))
}

async function officialShop(issuer: OfferReceiptIssuer, includeTxHash: boolean): Promise<string> {
  const { url } = world.facilitators['ours, HTTP']
  const server = world.schemes.officialServer(new x402ResourceServer(new HTTPFacilitatorClient({ url })))
  server.registerExtension(createOfferReceiptExtension(issuer))
  const accepts = { scheme: 'exact', network, price: '$0.01', payTo: world.chain.seller.address } as const
  const app = express()
  app.use(paymentMiddleware({ '/goods': { accepts, extensions: declareOfferReceiptExtension({ includeTxHash }) } }, server))
  app.get('/goods', (_, response) => void response.json('goods'))
  return opened(await listen(app))
}

function opened(shop: Listening): string {
  open.push(shop)
  return `${shop.url}/goods`
}

const seller = () => privateKeyToAccount(world.chain.seller.privateKey)

describe('what our servers sign', () => {
  const buy = async (url: string) => wrapFetchWithPayment(fetch, await world.schemes.officialClient(world.chain.buyer.privateKey))(url)
  const offersAt = async (url: string) => {
    const required = decodePaymentRequiredHeader((await fetch(url)).headers.get('PAYMENT-REQUIRED') ?? '')
    return { required, offers: extractOffersFromPaymentRequired(required) }
  }

  it.each([true, false])('as EIP-712 is verified by the official client, with the transaction told: %s', async (transaction) => {
    verifies('BAZAAR-RECEIPTS')
    const url = await ourShop(evmStatementSigner(privateKeySigner(world.chain.seller.privateKey)), { transaction })
    const { required, offers } = await offersAt(url)
    const [offer] = offers
    if (offer === undefined || !isEIP712SignedOffer(offer)) return expect.unreachable('no offer by EIP-712')
    expect((await verifyOfferSignatureEIP712(offer)).signer).toBe(seller().address)
    expect(findAcceptsObjectFromSignedOffer(offer, required.accepts)).toEqual(required.accepts[0])
    const response = await buy(url)
    expect(response.status).toBe(200)
    const receipt = extractReceiptFromResponse(response)
    if (receipt === undefined || !isEIP712SignedReceipt(receipt)) return expect.unreachable('no receipt by EIP-712')
    expect((await verifyReceiptSignatureEIP712(receipt)).signer).toBe(seller().address)
    expect(receipt.payload.transaction).toMatch(transaction ? /^0x[0-9a-f]{64}$/ : /^$/)
    const [decoded] = decodeSignedOffers([offer])
    expect(decoded && verifyReceiptMatchesOffer(receipt, decoded, [world.chain.buyer.address])).toBe(true)
  })

  it('as a JWS of a Solana wallet is verified by the official client, by the key that its kid is', async () => {
    verifies('BAZAAR-RECEIPTS')
    const url = await ourShop(solanaStatementSigner(goodsKey, { networks: ['eip155:*'] }))
    const receipt = extractReceiptFromResponse(await buy(url))
    if (receipt === undefined || !isJWSSignedReceipt(receipt)) return expect.unreachable('no receipt as a JWS')
    expect(await verifyReceiptSignatureJWS(receipt)).toMatchObject({
      resourceUrl: url,
      payer: expect.stringMatching(new RegExp(world.chain.buyer.address, 'i')),
    })
    const [decoded] = decodeSignedOffers((await offersAt(url)).offers)
    expect(decoded && verifyReceiptMatchesOffer(receipt, decoded, [world.chain.buyer.address])).toBe(true)
  })
})

describe('what official servers sign', () => {
  const buy = async (url: string, keys: readonly string[] = []) => {
    const events: ClientEvent[] = []
    const client = createClient({
      schemes: [world.schemes.ourClient(world.chain.buyer.privateKey)],
      receipts: signedReceipts({ verifiers, keysOf: () => keys }),
      onEvent: (event) => events.push(event),
    })
    expect((await client.fetch(url)).status).toBe(200)
    const purchases: Purchase[] = []
    for await (const purchase of client.purchases()) purchases.push(purchase)
    const paidEvent = events.find((event) => event.type === 'paid')
    return { standing: paidEvent?.type === 'paid' ? paidEvent.standing : undefined, purchases }
  }

  it.each([true, false])('as EIP-712 is verified and kept by our client, with the transaction told: %s', async (includeTxHash) => {
    verifies('BAZAAR-RECEIPTS')
    const account = seller()
    // The official type leaves open what viem spells out; it hands over complete typed data.
    const signTyped = (data: object) => account.signTypedData(data as Parameters<typeof account.signTypedData>[0])
    const url = await officialShop(createEIP712OfferReceiptIssuer(`did:pkh:eip155:1:${account.address}#key-1`, signTyped), includeTxHash)
    const required = decodePaymentRequiredHeader((await fetch(url)).headers.get('PAYMENT-REQUIRED') ?? '')
    // The official type of a 402 is ours but for what may be null in it.
    const terms = await signedTerms(required as Parameters<typeof signedTerms>[0], { now: Math.floor(Date.now() / 1000), verifiers })
    expect(terms).toHaveLength(1)
    const { standing, purchases } = await buy(url)
    expect(standing).toEqual({ status: 'valid', signer: account.address })
    expect(purchases).toMatchObject([{ url, receipt: { success: true } }])
  })

  it('as a JWS by Ed25519 is verified by our client, where the seller names the key', async () => {
    verifies('BAZAAR-RECEIPTS')
    const signer = solanaStatementSigner(goodsKey)
    const kid = JSON.parse(Buffer.from((await signer.sign(anything)).signature.split('.')[0] ?? '', 'base64url').toString()).kid
    const key = privateKeyOf(goodsKey)
    const issuer = createJWSOfferReceiptIssuer(kid, {
      kid,
      format: 'jws',
      algorithm: 'EdDSA',
      sign: async (bytes) => sign(null, bytes, key).toString('base64url'),
    })
    const url = await officialShop(issuer, true)
    expect((await buy(url, [signer.address])).standing).toEqual({ status: 'valid', signer: signer.address })
    expect((await buy(url)).standing).toMatchObject({ status: 'invalid', why: expect.stringContaining('not the seller') })
  })
})

const anything = {
  kind: 'receipt',
  payload: { version: 1, network, resourceUrl: 'https://a.example/', payer: '0x1', issuedAt: 1 },
} as const

// RFC 8410: what stands before the 32 bytes of a private key.
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
}
