import { findAsset } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import {
  address,
  appendTransactionMessageInstructions,
  createSolanaRpc,
  createTransactionMessage,
  getBase64EncodedWireTransaction,
  type Instruction,
  type KeyPairSigner,
  pipe,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from '@solana/kit'
import { getTransferSolInstruction } from '@solana-program/system'
import { findAssociatedTokenPda, getTransferCheckedInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { httpRpc } from '../chain/rpc.ts'
import { memoOf, signerOf } from '../fixtures/payments.ts'
import { readMoved } from './moved.ts'

let local: SolanaChain
let buyer: KeyPairSigner
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  buyer = await signerOf(local.buyer)
})
afterAll(() => local?.stop())

const rpc = () => httpRpc({ url: local.rpcUrl, fetch, timeoutMs: 5000 })

async function send(instructions: readonly Instruction[]): Promise<string> {
  const chain = createSolanaRpc(local.rpcUrl)
  const { value } = await chain.getLatestBlockhash({ commitment: 'processed' }).send()
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayerSigner(buyer, empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash(value, paid),
    (dated) => appendTransactionMessageInstructions(instructions, dated),
  )
  const signed = await signTransactionMessageWithSigners(message)
  const options = { encoding: 'base64', skipPreflight: true } as const
  return await chain.sendTransaction(getBase64EncodedWireTransaction(signed), options).send()
}

async function tokenTransfer(amount: bigint) {
  const { seller, usdc } = local
  const accountOf = async (owner: string) =>
    (await findAssociatedTokenPda({ owner: address(owner), mint: usdc.address, tokenProgram: usdc.tokenProgram }))[0]
  const [source, destination] = [await accountOf(buyer.address), await accountOf(seller.address)]
  const instruction = getTransferCheckedInstruction({
    source,
    mint: usdc.address,
    destination,
    authority: buyer,
    amount,
    decimals: 6,
  })
  return { instruction, source, destination }
}

describe('a mined transaction', () => {
  it('tells what it moved of a token and of SOL, its memos and its signers', async () => {
    const { instruction, source, destination } = await tokenTransfer(1_234n)
    const coin = getTransferSolInstruction({ source: buyer, destination: local.seller.address, amount: 77_000_000n })
    const signature = await send([instruction, memoOf('first'), coin, memoOf('second')])
    expect(await readMoved(rpc(), signature)).toBeUndefined()
    await local.advance()
    const moved = await readMoved(rpc(), signature)
    expect(moved).toMatchObject({ success: true, memos: ['first', 'second'], signers: [buyer.address] })
    expect(moved?.accounts).toContain(destination)
    expect(moved?.tokenChange(destination, local.usdc.address)).toMatchObject({ owner: local.seller.address, change: 1_234n })
    expect(moved?.tokenChange(source, local.usdc.address)).toMatchObject({ owner: buyer.address, change: -1_234n })
    expect(moved?.tokenChange(destination, findAsset(local.network, 'PYUSD')?.address ?? '')).toBeUndefined()
    expect(moved?.coinChange(local.seller.address)).toBe(77_000_000n)
    expect(moved?.coinChange(local.facilitator.address)).toBe(0n)
    expect(await readMoved(rpc(), signature, { commitment: 'finalized' })).toBeUndefined()
    await local.advance(32)
    expect(await readMoved(rpc(), signature, { commitment: 'finalized' })).toMatchObject({ success: true })
  })

  it('that failed moved nothing but its fee', async () => {
    const { instruction, destination } = await tokenTransfer(10n ** 15n)
    const coin = getTransferSolInstruction({ source: buyer, destination: local.seller.address, amount: 1_000_000n })
    const signature = await send([coin, instruction])
    await local.advance()
    const moved = await readMoved(rpc(), signature)
    expect(moved?.success).toBe(false)
    expect(moved?.coinChange(local.seller.address)).toBe(0n)
    expect(moved?.coinChange(buyer.address)).toBe(-5_000n)
    expect(moved?.tokenChange(destination, local.usdc.address)).toBeUndefined()
  })
})
