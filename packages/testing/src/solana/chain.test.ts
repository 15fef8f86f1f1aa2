import { createHmac, pbkdf2Sync } from 'node:crypto'
import {
  createKeyPairSignerFromPrivateKeyBytes,
  generateKeyPairSigner,
  getAddressEncoder,
  getBase58Decoder,
  getBase58Encoder,
} from '@solana/kit'
import { Connection, Keypair, PublicKey, SystemProgram, Transaction } from '@solana/web3.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { isSolanaDevelopmentKey, solanaDevelopmentAccounts } from './accounts.ts'
import { type SolanaChain, startSolanaChain } from './chain.ts'
import { acceptingProgram } from './stand-in.ts'

describe('a chain whose slots come on command', () => {
  let chain: SolanaChain
  let connection: Connection
  beforeAll(async () => {
    chain = await startSolanaChain({ slotTime: 0 })
    connection = new Connection(chain.rpcUrl)
  })
  afterAll(() => chain.stop())

  test('funds the development accounts; the seller has a token account, owner and facilitator have none', async () => {
    expect(await Promise.all(chain.accounts.map(async ({ role, address }) => [role, await chain.balanceOf(address)]))).toEqual([
      ['owner', 0n],
      ['facilitator', 0n],
      ['seller', 0n],
      ...Array.from({ length: 7 }, () => ['buyer', 1_000_000_000n]),
    ])
    const accounts = await Promise.all(
      [chain.owner, chain.facilitator, chain.seller, chain.buyer].map(({ address }) =>
        connection.getTokenAccountsByOwner(new PublicKey(address), { mint: new PublicKey(chain.usdc.address) }),
      ),
    )
    expect(accounts.map(({ value }) => value.length)).toEqual([0, 0, 1, 1])
    expect(await chain.solBalance(chain.facilitator.address)).toBe(10_000_000_000_000n)
    const { address: stranger } = await generateKeyPairSigner()
    expect([await chain.solBalance(stranger), await chain.balanceOf(stranger)]).toEqual([0n, 0n])
  })

  test('passes a transaction from processed to confirmed to finalized, and its accounts with it', async () => {
    const to = Keypair.generate().publicKey
    const seen = async () => ({
      status: (await connection.getSignatureStatus(signature)).value?.confirmationStatus,
      confirmations: (await connection.getSignatureStatus(signature)).value?.confirmations,
      balances: await Promise.all(
        (['processed', 'confirmed', 'finalized'] as const).map((commitment) => connection.getBalance(to, commitment)),
      ),
      confirmed: (await connection.getTransaction(signature, { commitment: 'confirmed', maxSupportedTransactionVersion: 0 })) !== null,
      finalized: (await connection.getTransaction(signature, { commitment: 'finalized', maxSupportedTransactionVersion: 0 })) !== null,
    })
    const signature = await connection.requestAirdrop(to, 7_000_000)
    expect(await seen()).toEqual({ status: 'processed', confirmations: 0, balances: [7e6, 0, 0], confirmed: false, finalized: false })
    await chain.advance()
    expect(await seen()).toEqual({ status: 'confirmed', confirmations: 1, balances: [7e6, 7e6, 0], confirmed: true, finalized: false })
    await chain.advance(30)
    expect(await seen()).toMatchObject({ status: 'confirmed', confirmations: 31, balances: [7e6, 7e6, 0] })
    await chain.advance()
    expect(await seen()).toEqual({ status: 'finalized', confirmations: null, balances: [7e6, 7e6, 7e6], confirmed: true, finalized: true })
  })

  test('takes a blockhash for 150 blocks, and not before the commitment of the preflight knows it', async () => {
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash('processed')
    const valid = async (commitment: 'processed' | 'finalized') => (await connection.isBlockhashValid(blockhash, { commitment })).value
    expect([await valid('processed'), await valid('finalized')]).toEqual([true, false])
    await expect(transfer(connection, chain, { blockhash, preflightCommitment: 'finalized' })).rejects.toThrow('Blockhash not found')
    await transfer(connection, chain, { blockhash, preflightCommitment: 'processed' })
    await chain.advance(150)
    expect(await connection.getBlockHeight('processed')).toBe(lastValidBlockHeight)
    await transfer(connection, chain, { blockhash, preflightCommitment: 'processed', lamports: 2 })
    await chain.advance()
    await expect(transfer(connection, chain, { blockhash, preflightCommitment: 'processed', lamports: 3 })).rejects.toThrow(
      'Blockhash not found',
    )
    expect([await valid('processed'), await valid('finalized')]).toEqual([false, true])
  })

  test('expires every blockhash of before', async () => {
    const hashes = await Promise.all(
      (['processed', 'confirmed', 'finalized'] as const).map((commitment) => connection.getLatestBlockhash(commitment)),
    )
    await chain.expireBlockhashes()
    for (const { blockhash } of hashes) {
      await expect(transfer(connection, chain, { blockhash, preflightCommitment: 'processed' })).rejects.toThrow('Blockhash not found')
      // Without a preflight it is dropped as silently as on a live chain.
      const before = await chain.solBalance(chain.buyer.address)
      await transfer(connection, chain, { blockhash, skipPreflight: true })
      expect(await chain.solBalance(chain.buyer.address)).toBe(before)
    }
  })

  test('moves the clock that programs and blocks see', async () => {
    const before = await chain.increaseTime(0)
    const after = await chain.increaseTime(3600)
    expect(after - before).toBeGreaterThanOrEqual(3600)
    expect(await connection.getBlockTime(await connection.getSlot('processed'))).toBe(after)
    const clock = await connection.getAccountInfo(new PublicKey('SysvarC1ock11111111111111111111111111111111'), 'processed')
    expect(Number(clock?.data.readBigInt64LE(32))).toBe(after)
  })

  test('mints side by side without losing one', async () => {
    const { address: to } = await generateKeyPairSigner()
    await Promise.all(Array.from({ length: 20 }, () => chain.mint(to, 1n)))
    expect(await chain.balanceOf(to)).toBe(20n)
  })

  test('opens a token account once, and tells of a mint that is none', async () => {
    const account = await chain.createTokenAccount(chain.facilitator.address)
    expect(await chain.createTokenAccount(chain.facilitator.address)).toBe(account)
    const balance = await connection.getTokenAccountBalance(new PublicKey(account), 'finalized')
    expect(balance.value.amount).toBe('0')
    await expect(chain.mint(chain.buyer.address, 1n, { mint: chain.buyer.address })).rejects.toMatchObject({
      code: 'testing/solana-refused',
    })
  })

  test('writes accounts and programs as they are given', async () => {
    const [{ address: at }, { address: program }] = await Promise.all([generateKeyPairSigner(), generateKeyPairSigner()])
    await chain.setAccount(at, { lamports: 1_000_000n, data: Uint8Array.of(1, 2, 3), programAddress: program })
    expect(await connection.getAccountInfo(new PublicKey(at))).toMatchObject({
      lamports: 1_000_000,
      owner: new PublicKey(program),
      data: Buffer.of(1, 2, 3),
    })
    const [found] = await connection.getProgramAccounts(new PublicKey(program), {
      filters: [{ dataSize: 3 }, { memcmp: { offset: 1, bytes: getBase58Decoder().decode(Uint8Array.of(2)) } }],
    })
    expect(found?.pubkey.toBase58()).toBe(at)
    await chain.addProgram(program, acceptingProgram())
    const info = await connection.getAccountInfo(new PublicKey(program))
    expect(info?.executable).toBe(true)
  })
})

test.each([
  ['solana', '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d', 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v'],
  [
    'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
    'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG',
    '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
  ],
  [
    'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z',
    '4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY',
    '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
  ],
])('the chain of %s has its genesis hash and its USDC', async (network, genesisHash, usdc) => {
  const chain = await startSolanaChain({ network })
  try {
    expect({ ...chain.usdc, genesisHash: chain.genesisHash }).toEqual({
      genesisHash,
      address: usdc,
      decimals: 6,
      tokenProgram: 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
    })
    expect(await new Connection(chain.rpcUrl).getGenesisHash()).toBe(genesisHash)
    expect(await chain.balanceOf(chain.buyer.address)).toBe(1_000_000_000n)
  } finally {
    await chain.stop()
  }
})

test('chains run side by side, share nothing, and close every connection', async () => {
  const { address: rich } = await generateKeyPairSigner()
  const [first, second] = await Promise.all([
    startSolanaChain({ balances: [{ address: rich, usdc: 42n, sol: 5_000_000n }] }),
    startSolanaChain(),
  ])
  expect(await Promise.all([first.balanceOf(rich), first.solBalance(rich), second.balanceOf(rich)])).toEqual([42n, 5_000_000n, 0n])
  // A blockhash of one chain is unknown to the other, so no transaction counts on both.
  const { blockhash } = await new Connection(first.rpcUrl).getLatestBlockhash()
  expect((await new Connection(second.rpcUrl).isBlockhashValid(blockhash)).value).toBe(false)
  const socket = new WebSocket(first.wsUrl)
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
  await Promise.all([first.stop(), second.stop()])
  await first.stop()
  await closed
  await expect(fetch(first.rpcUrl)).rejects.toThrow()
})

test.each([
  ['eip155:84532', 'testing/no-solana'],
  ['solana:11111111111111111111111111111111', 'testing/no-solana'],
  ['nowhere', 'config/unknown-network'],
])('there is no local Solana for %s', async (network, code) => {
  await expect(startSolanaChain({ network })).rejects.toMatchObject({ code })
})

test('a start that is aborted ends with the signal’s reason', async () => {
  await expect(startSolanaChain({ signal: AbortSignal.abort('enough') })).rejects.toBe('enough')
})

test('the development accounts are those of the published mnemonic, by the path of Solana wallets', async () => {
  const seed = pbkdf2Sync(`${'test '.repeat(11)}junk`, 'mnemonic', 2048, 64, 'sha512')
  const derived = await Promise.all(
    solanaDevelopmentAccounts.map(async (_, index) => {
      const key = [44, 501, index, 0].reduce(child, split(createHmac('sha512', 'ed25519 seed').update(seed).digest())).key
      const { address } = await createKeyPairSignerFromPrivateKeyBytes(key)
      return { address, privateKey: getBase58Decoder().decode(Buffer.concat([key, Buffer.from(getAddressEncoder().encode(address))])) }
    }),
  )
  expect(solanaDevelopmentAccounts.map(({ address, privateKey }) => ({ address, privateKey }))).toEqual(derived)
  expect(derived.every(({ privateKey }) => isSolanaDevelopmentKey(privateKey))).toBe(true)
  expect(isSolanaDevelopmentKey(getBase58Decoder().decode(new Uint8Array(64)))).toBe(false)
})

type Node = { key: Buffer; code: Buffer }

/** SLIP-10 for ed25519: every step is hardened. */
function child({ key, code }: Node, index: number): Node {
  const place = Buffer.alloc(4)
  place.writeUInt32BE(index + 2 ** 31)
  return split(
    createHmac('sha512', code)
      .update(Buffer.concat([Buffer.alloc(1), key, place]))
      .digest(),
  )
}

function split(digest: Buffer): Node {
  return { key: digest.subarray(0, 32), code: digest.subarray(32) }
}

async function transfer(
  connection: Connection,
  chain: SolanaChain,
  {
    blockhash,
    lamports = 1,
    ...options
  }: { blockhash: string; lamports?: number; preflightCommitment?: 'processed' | 'finalized'; skipPreflight?: boolean },
): Promise<string> {
  const from = Keypair.fromSecretKey(Uint8Array.from(getBase58Encoder().encode(chain.buyer.privateKey)))
  const transaction = new Transaction({ feePayer: from.publicKey, blockhash, lastValidBlockHeight: 0 }).add(
    SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: new PublicKey(chain.seller.address), lamports }),
  )
  transaction.sign(from)
  return connection.sendRawTransaction(transaction.serialize(), options)
}
