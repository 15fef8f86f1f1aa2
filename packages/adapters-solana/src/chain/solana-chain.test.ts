import type { Call } from '@flow402x/core'
import { type SolanaChain as LocalChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { AccountRole, createSolanaRpc, generateKeyPairSigner, type KeyPairSigner } from '@solana/kit'
import { getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SolanaChainOptions, solanaChain } from '../facilitator.ts'
import { type Change, payment, signerOf } from '../fixtures/payments.ts'
import { decodeBase58, encodeBase58 } from './base58.ts'

let local: LocalChain
let payer: KeyPairSigner

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
})
afterAll(() => local?.stop())

function chainWith(options: Partial<SolanaChainOptions> = {}) {
  const { network, rpcUrl, facilitator } = local
  return solanaChain({ network, rpcUrl, signers: [facilitator.privateKey], ...options })
}

async function failure(run: () => unknown): Promise<unknown> {
  try {
    await run()
  } catch (error) {
    return error
  }
}
const code = (text: string) => expect.objectContaining({ code: text })

async function calls(change: Change = {}): Promise<readonly Call[]> {
  const { payload } = (await payment({ local, payer }, change)).payment
  return [{ target: 'token', data: String(payload.transaction), gas: 0n, alone: true }]
}

const signing = () => ({ signer: local.facilitator.address, nonce: 7n })

describe('keys', () => {
  const secretOf = () => decodeBase58(local.facilitator.privateKey) ?? new Uint8Array()
  const keys = (): readonly [string, string | Uint8Array][] => {
    const secret = secretOf()
    return [
      ['64 bytes in base58', local.facilitator.privateKey],
      ['64 bytes in a JSON array', JSON.stringify([...secret])],
      ['a seed in base58', encodeBase58(secret.subarray(0, 32))],
      ['a seed in a JSON array', ` ${JSON.stringify([...secret.subarray(0, 32)])}\n`],
      ['64 bytes', secret],
      ['a seed as bytes', secret.subarray(0, 32)],
    ]
  }

  it('are read in every form that tools write', () => {
    for (const [, key] of keys()) expect(chainWith({ signers: [key] }).signers).toEqual([local.facilitator.address])
  })

  it('that are none are refused without being shown', async () => {
    const damaged = Uint8Array.from(secretOf(), (byte, at) => (at === 40 ? byte ^ 1 : byte))
    for (const key of ['', 'nonsense!', '[1,2,3]', '[300]', JSON.stringify([...damaged]), damaged, new Uint8Array(31)]) {
      const error = await failure(() => chainWith({ signers: [key] }))
      expect(error).toEqual(code('config/bad-secret-key'))
      if (key.length > 3) expect(JSON.stringify(error) + String(error)).not.toContain(String(key))
    }
  })

  it('of kit sign as well, and one that signs something else is caught before anything is sent', async () => {
    const kit = await signerOf(local.facilitator)
    const chain = chainWith({ signers: [kit] })
    const what = await calls()
    expect(await chain.sign(what, signing())).toEqual(await chainWith().sign(what, signing()))
    const liar = { address: kit.address, sign: async () => new Uint8Array(64).fill(9) }
    expect(await failure(async () => chainWith({ signers: [liar] }).sign(what, signing()))).toEqual(code('solana/bad-signature'))
  })

  it('of which there is none, or one twice, are an error at start', async () => {
    const { privateKey } = local.facilitator
    expect(await failure(() => chainWith({ signers: [] }))).toEqual(code('config/no-signer'))
    expect(await failure(() => chainWith({ signers: [privateKey, privateKey] }))).toEqual(code('config/no-signer'))
  })
})

describe('a chain', () => {
  const mainnet = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'

  it('that is local and bears a real network’s id takes published keys only', async () => {
    const real = await generateKeyPairSigner()
    expect(await failure(() => chainWith({ network: mainnet, signers: [real] }))).toEqual(code('config/unsafe-local-key'))
    expect(chainWith({ network: mainnet }).signers).toEqual([local.facilitator.address])
    expect(chainWith({ network: mainnet, rpcUrl: 'https://rpc.example', signers: [real] }).signers).toEqual([real.address])
    expect(chainWith({ signers: [real] }).signers).toEqual([real.address])
  })

  it('that is another one is an error at start', async () => {
    const relayed = (network: string) => {
      const fetch: typeof globalThis.fetch = (_, init) => globalThis.fetch(local.rpcUrl, init)
      return chainWith({ network, rpcUrl: 'https://rpc.example', fetch })
    }
    await relayed(local.network).start()
    expect(await failure(() => relayed(mainnet).start())).toEqual(code('config/wrong-chain'))
    expect(await failure(() => chainWith({ network: 'eip155:1' }))).toEqual(code('config/not-solana'))
    expect(await failure(() => chainWith({ rpcUrl: 'ftp://x' }))).toEqual(code('config/bad-rpc-url'))
  })

  it('tells what a signer holds for fees', async () => {
    const chain = chainWith({ leastLamports: 17n })
    expect(await chain.balance?.(local.facilitator.address)).toEqual({
      held: await local.solBalance(local.facilitator.address),
      least: 17n,
    })
  })
})

describe('signing', () => {
  it('adds the fee payer’s signature and is the same every time', async () => {
    const what = await calls()
    const signed = await chainWith().sign(what, signing())
    expect(signed).toMatchObject(signing())
    expect(await chainWith().sign(what, signing())).toEqual(signed)
    const bytes = Buffer.from(signed.bytes, 'base64')
    expect(encodeBase58(bytes.subarray(1, 65))).toBe(signed.transaction)
    expect(bytes.subarray(65)).toEqual(Buffer.from(what[0]?.data ?? '', 'base64').subarray(65))
  })

  it('refuses what could cost more than fees, whoever planned it', async () => {
    verifies('A5')
    const unsafe = async (what: readonly Call[]) =>
      expect(await failure(() => chainWith().sign(what, signing()))).toEqual(code('solana/unsafe-transaction'))
    const [one] = await calls()
    if (one === undefined) return expect.unreachable()
    await unsafe([])
    await unsafe([one, one])
    await unsafe([{ ...one, data: 'AAAA' }])
    await unsafe([{ ...one, data: 'not base64!' }])
    await unsafe(await calls({ feePayer: local.owner.address }))
    await unsafe(await calls({ instructions: ({ price, transfer }) => [price, transfer] }))
    await unsafe(
      await calls({
        instructions: ({ limit, transfer }) => [limit, getSetComputeUnitPriceInstruction({ microLamports: 1n << 63n }), transfer],
      }),
    )
    const named = { address: local.facilitator.address, role: AccountRole.WRITABLE_SIGNER }
    await unsafe(
      await calls({
        instructions: ({ limit, price, transfer, assertion }) => [limit, price, transfer, { ...assertion, accounts: [named] }],
      }),
    )
    expect(await failure(() => chainWith().sign([one], { signer: payer.address, nonce: 0n }))).toEqual(code('solana/unknown-signer'))
  })

  it('is never done anew for a transaction that stands', async () => {
    const chain = chainWith()
    const signed = await chain.sign(await calls(), signing())
    expect(await failure(() => chain.replace(signed))).toEqual(code('solana/not-replaceable'))
  })
})

describe('sending', () => {
  /** The real chain, behind a node that answers one method in its own way. */
  const behind = (method: string, answer: () => Promise<Response>) => {
    const fetch: typeof globalThis.fetch = (url, init) =>
      String(init?.body).includes(`"${method}"`) ? answer() : globalThis.fetch(url, init)
    return chainWith({ fetch })
  }
  const saying = (message: string) => async () => Response.json({ jsonrpc: '2.0', id: 1, error: { code: -32002, message } })

  it('tells whether money may have moved when it fails', async () => {
    const signed = await chainWith().sign(await calls(), signing())
    const refused = behind('sendTransaction', saying('Node is behind by 200 slots'))
    expect(await failure(() => refused.send(signed))).toMatchObject({ code: 'solana/refused', moneyMoved: 'no' })
    const silent = behind('sendTransaction', () => Promise.reject(new TypeError('reset')))
    expect(await failure(() => silent.send(signed))).toMatchObject({ code: 'solana/broadcast-unknown', moneyMoved: 'unknown' })
    await behind('sendTransaction', saying('Transaction simulation failed: This transaction has already been processed')).send(signed)
  })

  it('takes no refusal of a transaction that the chain has', async () => {
    const chain = chainWith()
    const signed = await chain.sign(await calls(), signing())
    await chain.send(signed)
    await behind('sendTransaction', saying('Transaction simulation failed: Blockhash not found')).send(signed)
    await chain.send(signed)
  })
})

describe('a transaction that nobody sent', () => {
  it('is unknown until a final block is past its blockhash, then expired, and never before', async () => {
    verifies('M21')
    const chain = chainWith()
    const signed = await chain.sign(await calls(), signing())
    expect(await chain.status(signed)).toEqual({ state: 'unknown' })
    const bytes = Buffer.from(signed.bytes, 'base64')
    const blockhash = await createSolanaRpc(local.rpcUrl).getLatestBlockhash({ commitment: 'processed' }).send()
    // The trap: a final block does not know a new blockhash either.
    const { value } = await createSolanaRpc(local.rpcUrl).isBlockhashValid(blockhash.value.blockhash, { commitment: 'finalized' }).send()
    expect(value).toBe(false)
    expect(bytes.includes(Buffer.from(decodeBase58(blockhash.value.blockhash) ?? []))).toBe(true)
    for (let slots = 0; slots < 170; slots += 10) {
      await local.advance(10)
      expect(await chain.status(signed)).toEqual({ state: 'unknown' })
    }
    await local.advance(40)
    expect(await chain.status({ transaction: signed.transaction })).toEqual({ state: 'unknown' })
    expect(await chain.status(signed)).toEqual({ state: 'expired' })
    // Who meets it only now cannot know how old it is, and waits.
    const other = chainWith()
    expect(await other.status(signed)).toEqual({ state: 'unknown' })
    await local.advance(200)
    expect(await other.status(signed)).toEqual({ state: 'expired' })
  })
})
