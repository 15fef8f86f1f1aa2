import type { PaymentRequirements } from '@flow402x/core'
import { type SolanaChain, solanaDevelopmentAccounts, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { createKeyPairSignerFromBytes, type TransactionModifyingSigner } from '@solana/kit'
import {
  type AccountMeta,
  Connection,
  Keypair,
  PublicKey,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
} from '@solana/web3.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addressBytes } from '../chain/address.ts'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { decodeBase64 } from '../chain/base64.ts'
import { lighthouse } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import { decodeTransaction, type Transaction } from '../chain/transaction.ts'
import { exactSolanaClient, kitSigner, type SolanaReader, type SolanaSigner, secretKeySender, walletStandardSigner } from '../client.ts'
import { web3jsReader, web3jsSigner } from '../web3js.ts'
import { isRefusal, readLayout } from './layout.ts'
import { mintFactsOf } from './wire.ts'

const [, facilitator, seller, payer] = solanaDevelopmentAccounts
if (facilitator === undefined || seller === undefined || payer === undefined) throw new TypeError('the table of accounts has four roles')
const secretKey = decodeBase58(payer.privateKey) ?? new Uint8Array()
const blockhash = encodeBase58(Uint8Array.from({ length: 32 }, (_, at) => at + 1))

const requirements: PaymentRequirements = {
  scheme: 'exact',
  network: 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
  amount: '10000',
  asset: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
  payTo: seller.address,
  maxTimeoutSeconds: 120,
  extra: { feePayer: facilitator.address, recentBlockhash: blockhash, lastValidBlockHeight: '150' },
}
const options = { now: 1_800_000_000, maxTimeoutSeconds: 120 }
const altered = (change: Partial<PaymentRequirements>): PaymentRequirements => ({ ...requirements, ...change })
const withExtra = (extra: Record<string, unknown>) => altered({ extra: { ...requirements.extra, ...extra } })

async function pay(signer: SolanaSigner, asked = requirements, reader?: SolanaReader): Promise<Transaction> {
  const { payload, key } = await exactSolanaClient({ signer, ...(reader === undefined ? {} : { reader }) }).prepare(asked, options)
  const transaction = decodeTransaction(decodeBase64(String(payload.transaction)) ?? new Uint8Array())
  if (transaction === undefined) return expect.unreachable()
  expect(key).toMatchObject({ payer: payer?.address, id: expect.stringMatching(/^solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1\/[0-9a-f]{64}$/) })
  return transaction
}

/** A wallet that does to what it signs what wallets do: it may add instructions, then signs. */
const wallet = (change: (message: TransactionMessage) => void = () => {}) => ({
  publicKey: new PublicKey(payer.address),
  async signTransaction<Signed extends VersionedTransaction>(given: Signed): Promise<Signed> {
    const message = TransactionMessage.decompile(given.message)
    change(message)
    const transaction = new VersionedTransaction(message.compileToV0Message())
    transaction.sign([Keypair.fromSecretKey(secretKey)])
    // The caller hands in what the wallet gives back: one versioned transaction.
    return transaction as Signed
  },
})

function nameAnother(key: AccountMeta | undefined): void {
  if (key !== undefined) key.pubkey = new PublicKey(facilitator?.address ?? '')
}

const assertion = new TransactionInstruction({
  programId: new PublicKey(lighthouse.address),
  keys: [{ pubkey: new PublicKey(payer.address), isSigner: false, isWritable: false }],
  data: Buffer.from([6, 0, 1]),
})

describe('a payment', () => {
  test('is the transaction that official clients make, with nothing asked of the chain', async () => {
    verifies('H47')
    const transaction = await pay(secretKeySender(payer.privateKey))
    const layout = readLayout(transaction, transaction.accounts)
    if (isRefusal(layout)) return expect.unreachable(layout.reason)
    const { mint, program } = mintFactsOf(requirements) ?? {}
    const accountOf = (owner: string) =>
      associatedTokenAddress({
        owner: addressBytes(owner) ?? new Uint8Array(),
        mint: mint ?? new Uint8Array(),
        program: program?.bytes ?? new Uint8Array(),
      })
    expect(transaction.accounts.slice(0, 2).map(encodeBase58)).toEqual([facilitator.address, payer.address])
    expect(transaction.signatures.map((signature) => signature.some((byte) => byte !== 0))).toEqual([false, true])
    expect(encodeBase58(transaction.blockhash)).toBe(blockhash)
    const { source, destination, authority, amount, decimals, ...transfer } = layout.transfer
    expect({ ...layout, transfer: { amount, decimals, program: transfer.program.address } }).toEqual({
      computeUnits: 20_000n,
      microLamports: 1n,
      memos: [expect.stringMatching(/^[0-9a-f]{32}$/)],
      transfer: { amount: 10_000n, decimals: 6, program: 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA' },
    })
    const accounts = [source, transfer.mint, destination, authority].map(encodeBase58)
    expect(accounts).toEqual([accountOf(payer.address), requirements.asset, accountOf(seller.address), payer.address])
  })

  test('carries the memo of the seller, or one of its own that no other has', async () => {
    const memoOf = async (asked: PaymentRequirements) => {
      const transaction = await pay(secretKeySender(payer.privateKey), asked)
      const layout = readLayout(transaction, transaction.accounts)
      return isRefusal(layout) ? layout.reason : layout.memos[0]
    }
    expect(await memoOf(withExtra({ memo: 'order 7 – ñ' }))).toBe('order 7 – ñ')
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => memoOf(requirements)))).size).toBe(20)
  })
})

describe('who signs', () => {
  verifies('H48')
  const keypair = Keypair.fromSecretKey(secretKey)
  const signers: readonly [string, () => Promise<SolanaSigner> | SolanaSigner][] = [
    ['a secret key in base58', () => secretKeySender(payer.privateKey)],
    ['a secret key as a JSON array', () => secretKeySender(JSON.stringify([...secretKey]))],
    ['a seed', () => secretKeySender(secretKey.slice(0, 32))],
    ['a key pair of kit', async () => kitSigner(await createKeyPairSignerFromBytes(secretKey))],
    ['a Keypair of web3.js', () => web3jsSigner(keypair)],
    ['a wallet adapter', () => web3jsSigner(wallet())],
    [
      'a wallet of the Wallet Standard',
      () =>
        walletStandardSigner({
          account: { address: payer.address },
          chain: 'solana:devnet',
          feature: {
            signTransaction: async (...inputs) =>
              inputs.map(({ transaction }) => {
                const signed = VersionedTransaction.deserialize(transaction)
                signed.sign([keypair])
                return { signedTransaction: signed.serialize() }
              }),
          },
        }),
    ],
  ]
  test.each(signers)('%s', async (_, make) => {
    const transaction = await pay(await make())
    const { message, signatures } = VersionedTransaction.deserialize(transaction.bytes)
    const publicKey = await crypto.subtle.importKey('raw', keypair.publicKey.toBytes().slice(), 'Ed25519', false, ['verify'])
    const signature = Uint8Array.from(signatures[1] ?? [])
    expect(await crypto.subtle.verify('Ed25519', publicKey, signature, Uint8Array.from(message.serialize()))).toBe(true)
  })

  test('a wallet that adds assertions and sets a fee of its own is let', async () => {
    verifies('H19')
    const lengthOf = async (signer: SolanaSigner) => (await pay(signer)).instructions.length
    const guarded = wallet(({ instructions }) => void instructions.push(assertion, assertion))
    expect([await lengthOf(web3jsSigner(wallet())), await lengthOf(web3jsSigner(guarded))]).toEqual([4, 6])
  })

  test.each<[string, (message: TransactionMessage) => void]>([
    ['pays another', ({ instructions }) => nameAnother(instructions[2]?.keys[2])],
    ['pays another token', ({ instructions }) => nameAnother(instructions[2]?.keys[1])],
    ['pays more', ({ instructions }) => instructions[2]?.data.writeBigUInt64LE(99_999n, 1)],
    [
      'adds an instruction of another program',
      ({ instructions }) => void instructions.push(new TransactionInstruction({ ...assertion, programId: PublicKey.default })),
    ],
    [
      'names another fee payer',
      (message) => {
        message.payerKey = new PublicKey(seller.address)
      },
    ],
  ])('a wallet that %s is not sent', async (_, change) => {
    verifies('H6')
    await expect(pay(web3jsSigner(wallet(change)))).rejects.toMatchObject({
      code: expect.stringMatching(/^solana\/(altered|bad-signature)$/),
      moneyMoved: 'no',
    })
  })

  test('nobody who gives no signature', async () => {
    const silent = [
      { address: payer.address, sign: async () => new Uint8Array(3) },
      { address: payer.address, signTransaction: async (bytes: Uint8Array) => bytes },
      { address: payer.address, signTransaction: async () => new Uint8Array(9) },
    ]
    for (const signer of silent) await expect(pay(signer)).rejects.toMatchObject({ code: 'solana/bad-signature' })
    expect(() => exactSolanaClient({ signer: { address: payer.address } })).toThrow(expect.objectContaining({ code: 'config/no-signer' }))
    expect(() => web3jsSigner({ ...wallet(), publicKey: null })).toThrow(expect.objectContaining({ code: 'config/no-signer' }))
    expect(() => secretKeySender('not a key')).toThrow(expect.objectContaining({ code: 'config/bad-secret-key' }))
  })

  test('a signer of kit that changes what it signs', async () => {
    const modifying: TransactionModifyingSigner = {
      address: (await createKeyPairSignerFromBytes(secretKey)).address,
      modifyAndSignTransactions: async (transactions) => {
        const signer = await createKeyPairSignerFromBytes(secretKey)
        return Promise.all(
          transactions.map(async (transaction) => {
            // Kit's type of what a key may sign also tells how long it lives, which the key does not look at.
            const given = transaction as Parameters<typeof signer.signTransactions>[0][number]
            const [signatures] = await signer.signTransactions([given])
            return { ...given, signatures: { ...given.signatures, ...signatures } }
          }),
        )
      },
    }
    expect((await pay(kitSigner(modifying))).instructions).toHaveLength(4)
  })
})

describe('terms it does not pay', () => {
  const client = exactSolanaClient({ signer: secretKeySender(payer.privateKey), networks: ['solana-devnet'] })
  test.each<[string, PaymentRequirements]>([
    ['another scheme', altered({ scheme: 'upto' })],
    ['another network', altered({ network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' })],
    ['an EVM network', altered({ network: 'eip155:84532' })],
    ['no fee payer', altered({ extra: {} })],
    ['a fee payer that is the payer', withExtra({ feePayer: payer.address })],
    ['a payee that is the payer', altered({ payTo: payer.address })],
    ['a payee that is no address', altered({ payTo: '0x00' })],
    ['a mint nobody knows', altered({ asset: seller.address })],
    ['a memo that is too long', withExtra({ memo: 'ñ'.repeat(129) })],
    ['no blockhash', withExtra({ recentBlockhash: undefined })],
    ['more than an account can hold', altered({ amount: `${2n ** 64n}` })],
  ])('%s', async (_, asked) => {
    expect(client.supports(asked)).toBe(false)
    await expect(client.prepare(asked, options)).rejects.toMatchObject({ code: 'solana/unsupported-terms', moneyMoved: 'no' })
  })

  test('a mint whose facts the offer tells is paid', () => {
    const told = { ...requirements.extra, tokenProgram: 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb', decimals: 9 }
    expect(client.supports(altered({ asset: seller.address, extra: told }))).toBe(true)
  })
})

describe('what an offer does not say is asked', () => {
  let chain: SolanaChain
  beforeAll(async () => {
    chain = await startSolanaChain()
  })
  afterAll(() => chain?.stop())

  test('of a Connection of web3.js: the blockhash, and a mint of Token-2022 that is in no table', async () => {
    const reader = web3jsReader(new Connection(chain.rpcUrl, 'confirmed'))
    const transaction = await pay(secretKeySender(payer.privateKey), withExtra({ recentBlockhash: undefined }), reader)
    const connection = new Connection(chain.rpcUrl, 'confirmed')
    expect((await connection.isBlockhashValid(encodeBase58(transaction.blockhash))).value).toBe(true)
    const mint = await chain.createMint({ decimals: 3, program: 'spl-token-2022' })
    const other = await pay(secretKeySender(payer.privateKey), altered({ asset: mint }), reader)
    const layout = readLayout(other, other.accounts)
    if (isRefusal(layout)) return expect.unreachable(layout.reason)
    expect([layout.transfer.decimals, layout.transfer.program.address]).toEqual([3, 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb'])
    await expect(pay(secretKeySender(payer.privateKey), altered({ asset: seller?.address ?? '' }), reader)).rejects.toMatchObject({
      code: 'solana/unsupported-terms',
    })
  })
})
