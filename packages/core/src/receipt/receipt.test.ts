import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Asked } from '../protocol/extension.ts'
import { checkReceipt, findReceipt, type ReceiptExpectation, signedTerms } from './check.ts'
import { offerReceipt } from './extension.ts'
import { compactJws, jwsInput, readJws } from './jws.ts'
import { readReceipt, type Statement, type StatementSigner, type StatementVerifier, signedReceipt } from './statement.ts'

const seller = `0x${'a1'.repeat(20)}`
const buyer = `0x${'b2'.repeat(20)}`
const url = 'https://api.example/story?of=1'
const network = 'eip155:84532'
const now = 1_800_000_000
const terms = { scheme: 'exact', network, amount: '10000', asset: `0x${'c3'.repeat(20)}`, payTo: seller, maxTimeoutSeconds: 60 }
const asked: Asked = { resource: { url }, accepts: [terms, { ...terms, network: 'solana:devnet' }], now }

// EIP-712 writes an empty text where a JWS leaves the member out.
const textOf = ({ payload }: Statement): string =>
  JSON.stringify(
    Object.entries(payload)
      .filter(([, value]) => value !== '')
      .sort(),
  )
// Signs by writing down what was signed and by whom: all that these rules are about.
const signedBy = (address: string, networks: readonly string[] = ['eip155:*']): StatementSigner & { readonly signed: Statement[] } => ({
  address,
  networks,
  signed: [],
  async sign(statement) {
    this.signed.push(statement)
    return { format: 'eip712', signature: `${address} ${textOf(statement)}` }
  },
})
const verifier: StatementVerifier = {
  async signerOf(statement, { signature }) {
    const [address, ...said] = signature.split(' ')
    return said.join(' ') === textOf(statement) ? address : undefined
  },
}
const sold = { url, payer: buyer, network, transaction: '0xfeed', at: now }
const bought: ReceiptExpectation = { url, payer: buyer, network, payTo: seller, transaction: '0xFEED', verifiers: [verifier] }
const receiptBy = async (address: string, change: object = {}, options: object = {}) => {
  const told = await offerReceipt({ signers: [signedBy(address)], ...options }).receipt?.({ ...sold, ...change })
  return findReceipt({ extensions: { 'offer-receipt': told } })
}

describe('a JWS', () => {
  it('holds what was signed in the canonical form of RFC 8785, byte for byte', () => {
    const input = jwsInput({ alg: 'EdDSA', kid: 'did:key:z1' }, { b: '€"\\\n\u0001', a: 3, A: '' })
    expect(Buffer.from(input.split('.')[1] ?? '', 'base64url').toString()).toBe('{"A":"","a":3,"b":"€\\"\\\\\\n\\u0001"}')
    const jws = readJws(compactJws(input, Uint8Array.of(251, 255, 0)))
    expect(jws).toEqual({
      alg: 'EdDSA',
      kid: 'did:key:z1',
      payload: { A: '', a: 3, b: '€"\\\n\u0001' },
      input: new TextEncoder().encode(input),
      signature: expect.objectContaining({ length: 3, 0: 251, 1: 255, 2: 0 }),
    })
  })

  it.each([
    '',
    '..',
    'a.b',
    'a.b.c.d',
    'e30.e30.e30',
    'eyJhbGciOjF9.e30.AA',
    '!.e30.AA',
    `${btoa('{"alg":"EdDSA","kid":"x","crit":["b64"]}')}.e30.AA`,
  ])('is not read out of %j', (text) => expect(readJws(text)).toBeUndefined())

  it('never throws, whatever text it is', () => {
    fc.assert(fc.property(fc.string(), fc.string(), fc.string(), (...parts) => void readJws(parts.join('.'))))
    fc.assert(
      fc.property(
        fc.json(),
        fc.json(),
        (a, b) => void readJws(`${Buffer.from(a).toString('base64url')}.${Buffer.from(b).toString('base64url')}.`),
      ),
    )
  })
})

describe('a receipt', () => {
  it('of the payee, or of a key that the seller names, is valid', async () => {
    verifies('BAZAAR-RECEIPTS')
    expect(await checkReceipt(await receiptBy(seller), bought)).toEqual({ status: 'valid', signer: seller })
    expect(await checkReceipt(await receiptBy('0xkey'), { ...bought, keys: ['0xKEY'] })).toEqual({ status: 'valid', signer: '0xkey' })
    expect(await checkReceipt(await receiptBy(seller, {}, { transaction: false }), bought)).toMatchObject({ status: 'valid' })
  })

  it.each([
    ['of a stranger', {}, '0xstranger', 'who is not the seller'],
    ['of the payer himself', {}, buyer, 'who is not the seller'],
    ['for another URL', { url: 'https://api.example/story' }, seller, 'another URL'],
    ['for another payer', { payer: seller }, seller, 'another payer'],
    ['on another network', { network: 'eip155:8453' }, seller, 'another network'],
    ['of another transaction', { transaction: '0xbeef' }, seller, 'another transaction'],
    ['from before', { at: now - 61 }, seller, 'another time'],
    ['from later', { at: now + 61 }, seller, 'another time'],
  ])('%s proves nothing', async (_, change, by, why) => {
    verifies('BAZAAR-RECEIPTS')
    const verdict = await checkReceipt(await receiptBy(by, change), { ...bought, issued: { from: now - 60, until: now + 60 } })
    expect(verdict).toEqual({ status: 'invalid', why: expect.stringContaining(why) })
  })

  it('that was altered proves nothing', async () => {
    verifies('BAZAAR-RECEIPTS')
    const receipt = await receiptBy(seller, { payer: seller })
    const altered = signedReceipt.safeParse({ ...receipt, payload: { ...(receipt && readReceipt(receipt)), payer: buyer } }).data
    expect(await checkReceipt(altered, bought)).toEqual({ status: 'invalid', why: expect.stringContaining('signature is false') })
    expect(await checkReceipt({ format: 'jws', signature: 'no.j.ws' }, bought)).toEqual({ status: 'invalid', why: 'it cannot be read' })
    expect(await checkReceipt(undefined, bought)).toEqual({ status: 'absent' })
  })

  it.each([undefined, null, {}, { info: {} }, { info: { receipt: 'x' } }, { info: { receipt: { format: 'pgp', signature: 'x' } } }])(
    'is not found in %j',
    (extension) => expect(findReceipt({ extensions: { 'offer-receipt': extension } })).toBeUndefined(),
  )

  it('is not made where nobody is known to have paid, or nobody signs for the network', async () => {
    expect(await receiptBy(seller, { payer: '' })).toBeUndefined()
    expect(await receiptBy(seller, { network: 'solana:devnet' })).toBeUndefined()
  })

  it('is not made of a URL so long that its header could not be read', async () => {
    verifies('H27')
    const long = `https://api.example/?${'x'.repeat(2100)}`
    expect(await receiptBy(seller, { url: long })).toBeUndefined()
    const said = await offerReceipt({ signers: [signedBy(seller)] }).ask?.({ ...asked, resource: { url: long } })
    expect(said?.info.offers).toEqual([])
  })
})

describe('an offer', () => {
  const required = async (extension = offerReceipt({ signers: [signedBy(seller)] })) => {
    const said = await extension.ask?.(asked)
    return { x402Version: 2 as const, resource: { url }, accepts: [...asked.accepts], extensions: { 'offer-receipt': said } }
  }

  it('is signed for each way to pay for which somebody signs', async () => {
    verifies('BAZAAR-RECEIPTS')
    const { extensions } = await required()
    expect(extensions['offer-receipt']?.info.offers).toMatchObject([
      { format: 'eip712', acceptIndex: 0, payload: { validUntil: now + 60, amount: '10000' } },
    ])
    expect(await signedTerms(await required(), { now, verifiers: [verifier] })).toEqual([terms])
  })

  it.each([
    ['is over', { now: now + 61 }, {}],
    ['is for another resource', {}, { resource: { url: 'https://api.example/other' } }],
    ['is for other terms', {}, { accepts: [{ ...terms, amount: '1' }] }],
    [
      'is of a stranger',
      {},
      { extensions: (async () => (await required(offerReceipt({ signers: [signedBy('0xstranger')] }))).extensions)() },
    ],
  ])('vouches for nothing where it %s', async (_, options, change) => {
    verifies('BAZAAR-RECEIPTS')
    const given = 'extensions' in change ? { extensions: await change.extensions } : change
    expect(await signedTerms({ ...(await required()), ...given }, { now, verifiers: [verifier], ...options })).toEqual([])
  })

  it('is signed once for half of its time, and for so many a second', async () => {
    verifies('BAZAAR-RECEIPTS')
    const signer = signedBy(seller)
    const extension = offerReceipt({ signers: [signer], offersPerSecond: 3 })
    const [first, again] = await Promise.all([extension.ask?.(asked), extension.ask?.({ ...asked, now: now + 29 })])
    expect(first).toEqual(again)
    await extension.ask?.({ ...asked, now: now + 30 })
    expect(signer.signed).toHaveLength(2)
    const flood = await Promise.all(
      Array.from({ length: 50 }, (_, index) => extension.ask?.({ ...asked, now: now + 40, resource: { url: `${url}&n=${index}` } })),
    )
    expect(signer.signed).toHaveLength(5)
    expect(flood.filter((said) => Array.isArray(said?.info.offers) && said.info.offers.length > 0)).toHaveLength(3)
  })

  it('that could not be signed is signed at the next chance', async () => {
    let broken = true
    const signer = signedBy(seller)
    const flaky: StatementSigner = {
      ...signer,
      sign: async (statement) => (broken ? Promise.reject(new TypeError('no signer')) : signer.sign(statement)),
    }
    const extension = offerReceipt({ signers: [flaky] })
    await expect(extension.ask?.(asked)).rejects.toThrow('no signer')
    broken = false
    expect((await extension.ask?.(asked))?.info.offers).toHaveLength(1)
  })
})
