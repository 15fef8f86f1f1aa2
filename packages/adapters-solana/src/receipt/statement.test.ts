import { compactJws, jwsInput, type Statement } from '@flow402x/core/receipt'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { secretKeySender } from '../crypto/signer.ts'
import { solanaStatementSigner, solanaStatementVerifier } from './statement.ts'

const seller = secretKeySender(new Uint8Array(32).fill(7))
const stranger = secretKeySender(new Uint8Array(32).fill(8))
const statement: Statement = {
  kind: 'receipt',
  payload: { version: 1, network: 'solana:devnet', resourceUrl: 'https://a.example/', payer: stranger.address, issuedAt: 1_800_000_000 },
}
const verifier = solanaStatementVerifier()
const kidOf = (address: string) => `did:key:z${encodeBase58(Uint8Array.from([0xed, 1, ...(decodeBase58(address) ?? [])]))}`
const signed = async (header: { alg: string; kid: string }, sign = seller.sign) => {
  const input = jwsInput(header, statement.payload)
  return { format: 'jws', signature: compactJws(input, await sign(new TextEncoder().encode(input))) } as const
}

describe('offers and receipts by Ed25519', () => {
  it('are a JWS whose kid is the wallet itself', async () => {
    verifies('BAZAAR-RECEIPTS')
    for (const signer of [solanaStatementSigner(seller), solanaStatementSigner(new Uint8Array(32).fill(7))]) {
      const proof = await signer.sign(statement)
      expect(await verifier.signerOf(statement, proof)).toBe(seller.address)
      expect(signer).toMatchObject({ address: seller.address, networks: ['solana:*'] })
    }
  })

  it('are nobody’s where a letter of them is another', async () => {
    verifies('BAZAAR-RECEIPTS')
    const { signature } = await solanaStatementSigner(seller).sign(statement)
    for (let at = 0; at < signature.length; at += 3) {
      const changed = `${signature.slice(0, at)}${signature[at] === 'A' ? 'B' : 'A'}${signature.slice(at + 1)}`
      expect(await verifier.signerOf(statement, { format: 'jws', signature: changed })).not.toBe(
        at < signature.lastIndexOf('.') ? seller.address : '',
      )
    }
  })

  it.each([
    ['names another key', { alg: 'EdDSA', kid: kidOf(stranger.address) }],
    ['names no key', { alg: 'EdDSA', kid: 'did:web:a.example' }],
    ['names a key of another curve', { alg: 'EdDSA', kid: `did:key:z${encodeBase58(Uint8Array.from([0xe7, 1, ...new Uint8Array(33)]))}` }],
    ['says that nobody signed', { alg: 'none', kid: kidOf(seller.address) }],
    ['says another algorithm', { alg: 'HS256', kid: kidOf(seller.address) }],
  ])('are nobody’s where the header %s', async (_, header) => {
    verifies('BAZAAR-RECEIPTS')
    expect(await verifier.signerOf(statement, await signed(header))).toBeUndefined()
  })

  it('are nobody’s where the key is a point of small order, which fits any text', async () => {
    verifies('BAZAAR-RECEIPTS')
    const small = encodeBase58(Uint8Array.from([1, ...new Uint8Array(31)]))
    const forged = await signed({ alg: 'EdDSA', kid: kidOf(small) }, async () => Uint8Array.from([1, ...new Uint8Array(63)]))
    expect(await verifier.signerOf(statement, forged)).toBeUndefined()
  })
})
