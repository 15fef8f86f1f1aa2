import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { type Address, generateKeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type OpeningCost,
  type OpenTokenAccountOptions,
  openTokenAccount,
  type SolanaSender,
  type TokenAccountSponsorOptions,
  tokenAccountSponsor,
} from '../facilitator.ts'
import { exactSolanaServer } from '../server.ts'

let chain: SolanaChain

beforeAll(async () => {
  chain = await startSolanaChain({ slotTime: 50 })
})
afterAll(() => chain?.stop())

const stranger = async (): Promise<Address> => (await generateKeyPairSigner()).address

async function open(options: Partial<OpenTokenAccountOptions> & { readonly owner: string }) {
  const { network, rpcUrl, buyer } = chain
  return openTokenAccount({ network, rpcUrl, payer: buyer.privateKey, ...options })
}

describe('opening a token account', () => {
  it('makes an owner payable, says before what it costs, and costs just that', async () => {
    verifies(['D4', 'H18'])
    const { network, rpcUrl, buyer, usdc } = chain
    const owner = await stranger()
    const seller = exactSolanaServer({ network, rpcUrl, payTo: owner })
    await expect(seller.start?.()).rejects.toMatchObject({ code: 'config/no-token-account' })
    const before = await chain.solBalance(buyer.address)
    const told: OpeningCost[] = []
    const opened = await open({ owner, onCost: (cost) => void told.push(cost) })
    const spent = before - (await chain.solBalance(buyer.address))
    const cost = { payer: buyer.address, account: opened.account, rent: 2_039_280n, fee: 5_000n }
    expect(opened).toEqual({
      account: await chain.createTokenAccount(owner),
      owner,
      network,
      asset: { symbol: 'USDC', address: usdc.address },
      opening: { ...cost, transaction: expect.stringMatching(/^[1-9A-HJ-NP-Za-km-z]{86,88}$/) },
    })
    expect({ told, spent }).toEqual({ told: [cost], spent: 2_044_280n })
    await seller.start?.()
  })

  it('leaves one alone that is there, and pays once for two that open it at once', async () => {
    const { owner, buyer, seller } = chain
    const before = await chain.solBalance(buyer.address)
    expect(await open({ owner: seller.address })).not.toHaveProperty('opening')
    expect(await chain.solBalance(buyer.address)).toBe(before)
    const payers = [buyer, owner]
    const wealth = () => Promise.all(payers.map(({ address }) => chain.solBalance(address)))
    const [both, rich] = [await stranger(), await wealth()]
    await Promise.all(payers.map(({ privateKey: payer }) => open({ owner: both, payer })))
    const spent = (await wealth()).reduce((sum, now, at) => sum + (rich[at] ?? 0n) - now, 0n)
    expect(spent - 2_039_280n).toBeLessThanOrEqual(10_000n)
  })

  it('opens one of Token-2022, with the rent of what it holds', async () => {
    const { network } = chain
    const mint = await chain.createMint({ decimals: 9, program: 'spl-token-2022' })
    const asset = { network, address: mint, symbol: 'NEW', decimals: 9, transfer: 'token-2022' } as const
    const owner = await stranger()
    const { account, opening } = await open({ owner, asset })
    expect({ account, rent: opening?.rent }).toEqual({
      account: await chain.createTokenAccount(owner, { mint }),
      rent: await chain.solBalance(account as Address), // an address, in base58
    })
  })

  it.each<[string, () => Promise<Partial<OpenTokenAccountOptions> & { readonly owner: string }>, string]>([
    ['an owner that is no address', async () => ({ owner: 'me' }), 'config/bad-address'],
    ['an owner that is a token account', async () => ({ owner: await chain.createTokenAccount(chain.buyer.address) }), 'config/bad-owner'],
    ['a network of another family', async () => ({ owner: await stranger(), network: 'base' }), 'config/not-solana'],
    ['a network that its local node has not', async () => ({ owner: await stranger(), network: 'solana' }), 'config/no-token'],
    [
      'a network that its node does not serve',
      async () => ({ owner: await stranger(), network: 'solana', ...far() }),
      'config/wrong-chain',
    ],
    [
      'a payer with a real key on a local mainnet',
      async () => ({ owner: await stranger(), network: 'solana', payer: await random() }),
      'config/unsafe-local-key',
    ],
    ['a payer without SOL', async () => ({ owner: await stranger(), payer: await random() }), 'solana/no-sol'],
    ['a payer that signs nothing', async () => ({ owner: await stranger(), payer: await mute() }), 'solana/bad-signature'],
    ['a node that does not answer', async () => ({ owner: await stranger(), rpcUrl: 'http://127.0.0.1:1' }), 'solana/rpc'],
  ])('is an error for %s, and costs nothing', async (_, given, code) => {
    const before = await chain.solBalance(chain.buyer.address)
    await expect(open(await given())).rejects.toMatchObject({ code, moneyMoved: 'no' })
    expect(await chain.solBalance(chain.buyer.address)).toBe(before)
  })
})

/** The local node under a name that is not this machine's. */
function far(): Pick<OpenTokenAccountOptions, 'rpcUrl' | 'fetch'> {
  return { rpcUrl: 'http://node.example', fetch: (_, init) => fetch(chain.rpcUrl, init) }
}

async function random(): Promise<Uint8Array> {
  return crypto.getRandomValues(new Uint8Array(32))
}

describe('a sponsor', () => {
  const each = 2_044_280n
  const sponsoring = async (change: Partial<TokenAccountSponsorOptions> = {}) => {
    const { network, rpcUrl, facilitator } = chain
    const { budgets } = await sqliteStore(file)
    const payer = facilitator.privateKey
    return tokenAccountSponsor({
      network,
      rpcUrl,
      payer,
      budgets,
      lamportsPerDay: 2n * each + 1n,
      mayOpen: () => true,
      clock: () => now,
      ...change,
    })
  }
  const file = join(mkdtempSync(join(tmpdir(), 'flow402x-sponsor-')), 'budgets.db')
  let now = Date.parse('2027-03-01T23:59:59Z')
  const refused = { code: 'solana/not-sponsored', moneyMoved: 'no' }

  it('pays for whom it means to, at most what a day may cost, over restarts and however many ask at once', async () => {
    verifies(['D4', 'H18', 'M19'])
    const { facilitator } = chain
    const before = await chain.solBalance(facilitator.address)
    const spent = async () => before - (await chain.solBalance(facilitator.address))
    const choosy = await sponsoring({ mayOpen: (owner) => owner === chain.seller.address })
    await expect(choosy.open(await stranger())).rejects.toMatchObject(refused)
    const owners = await Promise.all(Array.from({ length: 4 }, stranger))
    // Two processes on one store.
    const two = [await sponsoring(), await sponsoring()]
    const asked = await Promise.allSettled(owners.map(async (owner, at) => two[at % 2]?.open(owner)))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    for (const one of asked) if (one.status === 'rejected') expect(one.reason).toMatchObject(refused)
    expect(await spent()).toBe(2n * each)
    await expect((await sponsoring()).open(await stranger())).rejects.toMatchObject(refused)
    // What is there costs nothing, and no cap stands in its way.
    expect(await (await sponsoring()).open(chain.seller.address)).not.toHaveProperty('opening')
    expect(await spent()).toBe(2n * each)
    now += 1000
    expect(await (await sponsoring()).open(await stranger())).toHaveProperty('opening')
    expect(await spent()).toBe(3n * each)
  })

  it('counts what it may have spent when it dies between signing and hearing of it', async () => {
    verifies('M19')
    now += 86_400_000
    const owner = await stranger()
    const { facilitator } = chain
    const before = await chain.solBalance(facilitator.address)
    const dies: typeof fetch = (input, init) =>
      String(init?.body).includes('"getSignatureStatuses"') ? Promise.reject(new TypeError('gone')) : fetch(input, init)
    await expect((await sponsoring({ fetch: dies })).open(owner)).rejects.toMatchObject({ code: 'solana/rpc' })
    // Whoever opens before it is confirmed pays once more.
    await expect.poll(() => chain.solBalance(facilitator.address)).toBeLessThan(before)
    await chain.advance(2)
    expect((await (await sponsoring()).open(owner)).opening).toBeUndefined()
    expect(await (await sponsoring()).open(await stranger())).toHaveProperty('opening')
    await expect((await sponsoring()).open(await stranger())).rejects.toMatchObject(refused)
  })
})

async function mute(): Promise<SolanaSender> {
  return { address: chain.buyer.address, sign: async () => new Uint8Array(64) }
}
