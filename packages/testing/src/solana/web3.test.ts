import { getBase58Encoder } from '@solana/kit'
import {
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  SystemProgram,
  Transaction,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
} from '@solana/web3.js'
import { findAssociatedTokenPda } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SolanaDevelopmentAccount } from './accounts.ts'
import { type SolanaChain, startSolanaChain } from './chain.ts'
import { tokenPrograms } from './tokens.ts'

describe('an unmodified Connection of web3.js', () => {
  let chain: SolanaChain
  let connection: Connection
  beforeAll(async () => {
    chain = await startSolanaChain({ slotTime: 50 })
    connection = new Connection(chain.rpcUrl, 'confirmed')
  })
  afterAll(() => chain.stop())

  test('reads the facts of the network', async () => {
    expect(await connection.getGenesisHash()).toBe('EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG')
    expect(await connection.getVersion()).toMatchObject({ 'feature-set': 0 })
    const slot = await connection.getSlot()
    expect(await connection.getBlockHeight()).toBeLessThan(slot)
    expect((await connection.getEpochInfo()).absoluteSlot).toBeGreaterThanOrEqual(slot)
    expect(await connection.getMinimumBalanceForRentExemption(165)).toBe(2_039_280)
    const time = await connection.getBlockTime(slot)
    expect(time).toBeGreaterThan(1_700_000_000)
    expect((await connection.getRecentPrioritizationFees()).length).toBe(150)
  })

  test('reads balances', async () => {
    expect(await connection.getBalance(keyOf(chain.buyer))).toBe(10_000 * LAMPORTS_PER_SOL)
    const ata = await tokenAccount(chain, chain.buyer)
    expect((await connection.getTokenAccountBalance(ata)).value).toEqual({
      amount: '1000000000',
      decimals: 6,
      uiAmount: 1000,
      uiAmountString: '1000',
    })
  })

  test('sends SOL and confirms it', async () => {
    const [from, to] = [signerOf(chain.buyer), Keypair.generate().publicKey]
    const lifetime = await connection.getLatestBlockhash()
    const transaction = new Transaction({ feePayer: from.publicKey, ...lifetime }).add(
      SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: to, lamports: LAMPORTS_PER_SOL }),
    )
    const signature = await connection.sendTransaction(transaction, [from])
    const { value } = await connection.confirmTransaction({ signature, ...lifetime }, 'confirmed')
    expect(value.err).toBeNull()
    expect(await connection.getBalance(to)).toBe(LAMPORTS_PER_SOL)
    const status = await connection.getSignatureStatus(signature)
    expect(status.value).toMatchObject({ err: null })
  })

  test('transfers USDC in a version 0 transaction with a memo', async () => {
    const before = await chain.balanceOf(chain.seller.address)
    const payer = signerOf(chain.facilitator)
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash()
    const message = new TransactionMessage({
      payerKey: payer.publicKey,
      recentBlockhash: blockhash,
      instructions: [await transferUsdc(chain, 10_000n), memo('hello')],
    }).compileToV0Message()
    const transaction = new VersionedTransaction(message)
    transaction.sign([payer, signerOf(chain.buyer)])
    const signature = await connection.sendTransaction(transaction)
    await connection.confirmTransaction({ signature, blockhash, lastValidBlockHeight }, 'confirmed')
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 10_000n)
  })
})

function signerOf({ privateKey }: SolanaDevelopmentAccount): Keypair {
  return Keypair.fromSecretKey(Uint8Array.from(getBase58Encoder().encode(privateKey)))
}

function keyOf({ address }: { address: string }): PublicKey {
  return new PublicKey(address)
}

async function tokenAccount(chain: SolanaChain, { address }: SolanaDevelopmentAccount): Promise<PublicKey> {
  const [ata] = await findAssociatedTokenPda({ owner: address, mint: chain.usdc.address, tokenProgram: chain.usdc.tokenProgram })
  return new PublicKey(ata)
}

async function transferUsdc(chain: SolanaChain, amount: bigint): Promise<TransactionInstruction> {
  const data = Buffer.alloc(10)
  data.writeUInt8(12, 0)
  data.writeBigUInt64LE(amount, 1)
  data.writeUInt8(6, 9)
  return new TransactionInstruction({
    programId: new PublicKey(tokenPrograms['spl-token']),
    keys: [
      { pubkey: await tokenAccount(chain, chain.buyer), isSigner: false, isWritable: true },
      { pubkey: new PublicKey(chain.usdc.address), isSigner: false, isWritable: false },
      { pubkey: await tokenAccount(chain, chain.seller), isSigner: false, isWritable: true },
      { pubkey: keyOf(chain.buyer), isSigner: true, isWritable: false },
    ],
    data,
  })
}

function memo(text: string): TransactionInstruction {
  const programId = new PublicKey('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr')
  return new TransactionInstruction({ programId, keys: [], data: Buffer.from(text) })
}
