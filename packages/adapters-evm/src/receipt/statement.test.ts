import type { OfferPayload, ReceiptPayload, Statement } from '@flow402x/core/receipt'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { recoverTypedDataAddress } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import type { TypedData } from '../crypto/eip712.ts'
import { fastestSecp256k1 } from '../crypto/native-secp256k1.ts'
import { privateKeySigner } from '../crypto/signer.ts'
import { evmStatementSigner, evmStatementVerifier } from './statement.ts'

const [, , seller, buyer] = developmentAccounts
if (seller === undefined || buyer === undefined) throw new Error('there are ten of them')

const offer: OfferPayload = {
  version: 1,
  resourceUrl: 'https://api.example.com/x',
  scheme: 'exact',
  network: 'eip155:84532',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  amount: '10000',
  validUntil: 1_900_000_000,
}
const receipt: ReceiptPayload = {
  version: 1,
  network: 'eip155:84532',
  resourceUrl: 'https://api.example.com/x',
  payer: '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266',
  issuedAt: 1_800_000_000,
}
const statements: readonly Statement[] = [
  { kind: 'offer', payload: offer },
  { kind: 'receipt', payload: receipt },
]
const wallet = privateKeySigner(seller.privateKey)
const verifier = evmStatementVerifier()

describe('offers and receipts by EIP-712', () => {
  it('are the digests that the official packages make (wire.md §20, V5)', async () => {
    verifies('BAZAAR-RECEIPTS')
    const hashes: string[] = []
    const watching = {
      address: wallet.address,
      async sign(input: { readonly hash: `0x${string}` }) {
        hashes.push(input.hash)
        return await wallet.sign(input)
      },
    }
    for (const statement of statements) await evmStatementSigner(watching).sign(statement)
    expect(hashes).toEqual([
      '0x354498883f41a00e298590a336ccdd58eec5fd5a86dfd708cfe1e87d73a66877',
      '0xa5dfb888dea8ae3d5d3f05be9c8864cba8d9ac74d2a893ac66cf574426516665',
    ])
  })

  it.each(statements)('a wallet signs an $kind as typed data to the same end', async (statement) => {
    const account = privateKeyToAccount(seller.privateKey)
    let asked: TypedData | undefined
    const typed = {
      address: account.address,
      async signTypedData(data: TypedData) {
        asked = data
        // viem's types are of one message at a time.
        return account.signTypedData(data as Parameters<typeof account.signTypedData>[0])
      },
    }
    const proof = await evmStatementSigner(typed).sign(statement)
    expect(proof).toEqual(await evmStatementSigner(wallet).sign(statement))
    expect(await verifier.signerOf(statement, proof)).toBe(seller.address)
    // As above.
    const check = { ...asked, signature: proof.signature } as Parameters<typeof recoverTypedDataAddress>[0]
    expect(await recoverTypedDataAddress(check)).toBe(seller.address)
    expect(await evmStatementVerifier({ secp256k1: fastestSecp256k1() }).signerOf(statement, proof)).toBe(seller.address)
  })

  it('every member counts', async () => {
    verifies('BAZAAR-RECEIPTS')
    for (const statement of statements) {
      const proof = await evmStatementSigner(wallet).sign(statement)
      const full = statement.kind === 'receipt' ? { transaction: '', ...statement.payload } : statement.payload
      for (const [name, value] of Object.entries(full).filter(([key]) => key !== 'version')) {
        const payload = { ...full, [name]: typeof value === 'number' ? value + 1 : `${value}x` }
        // Of the same kind as before, with one member changed.
        expect(await verifier.signerOf({ ...statement, payload } as Statement, proof), name).not.toBe(seller.address)
      }
    }
  })

  it.each([
    ['cut', (text: string) => text.slice(0, -2)],
    ['of another length', (text: string) => `${text}00`],
    ['in its other spelling', (text: string) => twin(text)],
    ['of no point', () => `0x${'00'.repeat(64)}1b`],
    ['that is none', () => 'receipt'],
  ])('a signature %s is nobody’s', async (_, change) => {
    verifies('BAZAAR-RECEIPTS')
    const [, statement] = statements
    if (statement === undefined) throw new Error('there is one')
    const { signature } = await evmStatementSigner(wallet).sign(statement)
    expect(await verifier.signerOf(statement, { format: 'eip712', signature: change(signature) })).toBeUndefined()
    expect(await verifier.signerOf(statement, { format: 'jws', signature })).toBeUndefined()
  })

  it('are not made by a signer that signs as somebody else, or not at all', async () => {
    const [statement] = statements
    if (statement === undefined) throw new Error('there is one')
    const other = privateKeySigner(buyer.privateKey)
    await expect(evmStatementSigner({ ...other, address: seller.address }).sign(statement)).rejects.toMatchObject({
      code: 'evm/bad-signature',
    })
    expect(() => evmStatementSigner({ address: 'seller.eth' })).toThrowError(expect.objectContaining({ code: 'config/bad-address' }))
  })
})

// The same signature with s in the upper half of the order, which a second receipt could be made of.
function twin(signature: string): string {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${signature.slice(66, 130)}`)
  return `${signature.slice(0, 66)}${s.toString(16).padStart(64, '0')}${signature.endsWith('1b') ? '1c' : '1b'}`
}
