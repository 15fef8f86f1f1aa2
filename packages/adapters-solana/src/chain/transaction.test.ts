import {
  type Address,
  appendTransactionMessageInstructions,
  blockhash,
  compileTransaction,
  compressTransactionMessageUsingAddressLookupTables,
  createNoopSigner,
  createTransactionMessage,
  getAddressDecoder,
  getBase58Decoder,
  getCompiledTransactionMessageDecoder,
  getTransactionDecoder,
  getTransactionEncoder,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from '@solana/kit'
import { getAddMemoInstruction } from '@solana-program/memo'
import { findAssociatedTokenPda, getTransferCheckedInstruction, TOKEN_PROGRAM_ADDRESS } from '@solana-program/token'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase58, encodeBase58 } from './base58.ts'
import { associatedTokenAddress } from './token-account.ts'
import { decodeTransaction, withSignature } from './transaction.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const addresses = bytes32.map((bytes) => getAddressDecoder().decode(bytes))

/** A wire transaction as the official library writes it: two signers, a transfer, memos, maybe a lookup table. */
const transactions = fc
  .record({
    named: fc.uniqueArray(addresses, { minLength: 6, maxLength: 6 }),
    hash: bytes32,
    memos: fc.array(fc.string({ maxLength: 100 }), { maxLength: 4 }),
    version: fc.constantFrom(0, 'legacy'),
    compressed: fc.boolean(),
  })
  .map(({ named, hash, memos, version, compressed }) => {
    // Six were asked for.
    const [feePayer, payer, source, mint, destination, table] = named as [Address, Address, Address, Address, Address, Address]
    const instructions = [
      getTransferCheckedInstruction({ source, mint, destination, authority: createNoopSigner(payer), amount: 1n, decimals: 6 }),
      ...memos.map((memo) => getAddMemoInstruction({ memo })),
    ]
    const lifetime = { blockhash: blockhash(encodeBase58(hash)), lastValidBlockHeight: 1n }
    if (version === 'legacy') {
      return pipe(
        createTransactionMessage({ version: 'legacy' }),
        (message) => setTransactionMessageFeePayer(feePayer, message),
        (message) => setTransactionMessageLifetimeUsingBlockhash(lifetime, message),
        (message) => appendTransactionMessageInstructions(instructions, message),
        (message) => new Uint8Array(getTransactionEncoder().encode(compileTransaction(message))),
      )
    }
    return pipe(
      createTransactionMessage({ version: 0 }),
      (message) => setTransactionMessageFeePayer(feePayer, message),
      (message) => setTransactionMessageLifetimeUsingBlockhash(lifetime, message),
      (message) => appendTransactionMessageInstructions(instructions, message),
      (message) =>
        compressed ? compressTransactionMessageUsingAddressLookupTables(message, { [table]: [payer, destination, mint] }) : message,
      (message) => new Uint8Array(getTransactionEncoder().encode(compileTransaction(message))),
    )
  })

describe('a transaction', () => {
  it('is read as the official library reads it', () => {
    fc.assert(
      fc.property(transactions, (bytes) => {
        const read = decodeTransaction(bytes)
        const { messageBytes, signatures } = getTransactionDecoder().decode(bytes)
        const message = getCompiledTransactionMessageDecoder().decode(messageBytes)
        if (message.version === 1) throw new TypeError('no such version is made here')
        expect(read).toMatchObject({ version: message.version })
        expect(read?.message).toEqual(new Uint8Array(messageBytes))
        expect(read?.accounts.map(encodeBase58)).toEqual(message.staticAccounts)
        expect(read?.signatures.length).toBe(Object.keys(signatures).length)
        expect(encodeBase58(read?.blockhash ?? new Uint8Array())).toBe(message.lifetimeToken)
        expect(read?.instructions.map(({ program, accounts, data }) => [program, [...accounts], [...data]])).toEqual(
          message.instructions.map(({ programAddressIndex, accountIndices = [], data = [] }) => [
            programAddressIndex,
            accountIndices,
            [...data],
          ]),
        )
        const tables = 'addressTableLookups' in message ? (message.addressTableLookups ?? []) : []
        expect(read?.lookups.map(({ table, writable, readonly }) => [encodeBase58(table), [...writable], [...readonly]])).toEqual(
          tables.map(({ lookupTableAddress, writableIndexes, readonlyIndexes }) => [lookupTableAddress, writableIndexes, readonlyIndexes]),
        )
      }),
      { numRuns: 300 },
    )
  })

  it('has one spelling: what is read at all is all of the bytes, and no byte more or less', () => {
    fc.assert(
      fc.property(transactions, fc.nat(), (bytes, cut) => {
        expect(decodeTransaction(bytes)).toBeDefined()
        expect(decodeTransaction(bytes.subarray(0, cut % bytes.length))).toBeUndefined()
        expect(decodeTransaction(Uint8Array.from([...bytes, 0]))).toBeUndefined()
        // The count of signatures, written in two bytes where one will do.
        expect(decodeTransaction(Uint8Array.from([0x82, 0x00, ...bytes.subarray(1)]))).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  it('never makes the reader throw, and what it reads of changed bytes names only accounts that are there', () => {
    const changed = fc.tuple(transactions, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 }))
    const inputs = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      changed.map(([bytes, changes]) => {
        const copy = new Uint8Array(bytes)
        for (const [at, value] of changes) copy[at % copy.length] = value
        return copy
      }),
    )
    fc.assert(
      fc.property(inputs, (bytes) => {
        const read = decodeTransaction(bytes)
        if (read === undefined) return
        const loaded = read.lookups.reduce((sum, { writable, readonly }) => sum + writable.length + readonly.length, 0)
        for (const { program, accounts } of read.instructions) {
          expect(program).toBeLessThan(read.accounts.length)
          expect(Math.max(-1, ...accounts)).toBeLessThan(read.accounts.length + loaded)
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it('takes a signature into one slot and changes nothing else, nor the bytes it was made from', () => {
    fc.assert(
      fc.property(transactions, (bytes) => {
        const before = Uint8Array.from(bytes)
        const read = decodeTransaction(Buffer.from(bytes))
        if (read === undefined) return expect.unreachable()
        const signature = new Uint8Array(64).fill(7)
        const signed = withSignature(read, { signature, signer: 1 })
        const after = Uint8Array.from(before)
        after.set(signature, 65)
        expect(signed).toEqual(after)
        expect(decodeTransaction(signed)?.signatures[1]).toEqual(signature)
        expect(Uint8Array.from(read.bytes)).toEqual(before)
      }),
      { numRuns: 50 },
    )
  })
})

describe('addresses', () => {
  it('are written in base58 as the official library writes them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const text = encodeBase58(bytes)
        expect(text).toBe(getBase58Decoder().decode(bytes))
        expect(decodeBase58(text)).toEqual(bytes)
      }),
    )
    for (const text of ['0', 'O', 'l', '/', 'a b', '1'.repeat(91)]) expect(decodeBase58(text)).toBeUndefined()
  })

  it('of token accounts are derived as the official library derives them', async () => {
    await fc.assert(
      fc.asyncProperty(addresses, addresses, async (owner, mint) => {
        const [expected] = await findAssociatedTokenPda({ owner, mint, tokenProgram: TOKEN_PROGRAM_ADDRESS })
        const [bytesOfOwner, bytesOfMint, program] = [owner, mint, TOKEN_PROGRAM_ADDRESS].map(
          (text) => decodeBase58(text) ?? new Uint8Array(),
        )
        if (bytesOfOwner === undefined || bytesOfMint === undefined || program === undefined) return
        expect(associatedTokenAddress({ owner: bytesOfOwner, mint: bytesOfMint, program })).toBe(expected)
      }),
      { numRuns: 50 },
    )
  })
})
