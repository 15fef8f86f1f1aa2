import { type PaymentRequirements, parsePrice, type ServerScheme, type Submission } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exactSolanaClient, secretKeySender } from '../client.ts'
import { type ExactSolanaServerOptions, exactSolanaServer } from '../server.ts'

let chain: SolanaChain
let calls: string[]
let down = false
const clock = { now: 1_800_000_000_000 }

beforeAll(async () => {
  chain = await startSolanaChain({ slotTime: 0 })
})
afterAll(() => chain?.stop())

const counted: typeof fetch = async (input, init) => {
  if (down) throw new TypeError('connection refused')
  calls.push(String(/"method":"(\w+)"/.exec(String(init?.body))?.[1]))
  return fetch(input, init)
}

function serverOf(change: Partial<ExactSolanaServerOptions> = {}): ServerScheme {
  calls = []
  const { network, rpcUrl, seller } = chain
  return exactSolanaServer({ network, rpcUrl, payTo: seller.address, fetch: counted, clock: () => clock.now, ...change })
}

const kindOf = (feePayer: unknown) => ({ x402Version: 2, scheme: 'exact', network: chain.network, extra: { feePayer } })

function offer(
  server: ServerScheme,
  change: { payTo?: string; kind?: ReturnType<typeof kindOf> | undefined; flow?: 'upfront' } = {},
): PaymentRequirements {
  const kind = 'kind' in change ? change.kind : kindOf(chain.facilitator.address)
  return server.requirements({ price: parsePrice('$0.01'), maxTimeoutSeconds: 120, flow: 'authorization', ...change, kind })
}

async function pay(requirements: PaymentRequirements, accepted = requirements): Promise<Submission> {
  const { payload } = await exactSolanaClient({ signer: secretKeySender(chain.buyer.privateKey) }).prepare(accepted, {
    now: clock.now / 1000,
    maxTimeoutSeconds: 120,
  })
  return { payment: { x402Version: 2, accepted, payload: { ...payload } }, requirements }
}

const valid = (server: ServerScheme, submission: Submission) => server.check(submission, { now: clock.now / 1000 })

describe('at start', () => {
  it('looks at the mint and at the payee, and learns a blockhash', async () => {
    const server = serverOf()
    await server.start?.()
    expect(calls.toSorted()).toEqual(['getAccountInfo', 'getAccountInfo', 'getLatestBlockhash'])
  })

  it('is an error without the token account, which names the command that creates it (D4)', async () => {
    verifies('H18')
    const { owner, seller } = chain
    const wanted = {
      code: 'config/no-token-account',
      message: expect.stringContaining(`wallet init-accounts --network ${chain.network} --owner ${owner.address}`),
    }
    await expect(serverOf({ payTo: owner.address }).start?.()).rejects.toMatchObject(wanted)
    await expect(serverOf({ payees: [owner.address] }).start?.()).rejects.toMatchObject(wanted)
    const account = await chain.createTokenAccount(address(seller.address))
    await expect(serverOf({ payTo: account }).start?.()).rejects.toMatchObject({ code: 'config/no-token-account' })
  })

  it('is an error where the mint is another than it is known here', async () => {
    const { network, usdc } = chain
    const token = { network, address: usdc.address, symbol: 'ODD', decimals: 9, transfer: 'spl-token' } as const
    await expect(serverOf({ asset: token }).start?.()).rejects.toMatchObject({ code: 'config/mint-mismatch' })
    const nothing = { ...token, address: chain.buyer.address }
    await expect(serverOf({ asset: nothing }).start?.()).rejects.toMatchObject({ code: expect.stringMatching(/no-token|mint-mismatch/) })
  })

  it('is an error where the node does not answer', async () => {
    down = true
    await expect(serverOf().start?.()).rejects.toMatchObject({ code: 'solana/rpc', moneyMoved: 'no' })
    down = false
  })

  it.each<[string, () => Partial<ExactSolanaServerOptions>, string]>([
    ['a network of another family', () => ({ network: 'base' }), 'config/not-solana'],
    ['a payee that is no address', () => ({ payTo: '0x00' }), 'config/bad-address'],
    [
      'an asset of another network',
      () => ({ asset: { ...asset('solana:x'), network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' } }),
      'config/foreign-asset',
    ],
    ['a coin that is no token', () => ({ asset: { ...asset(chain.network), transfer: 'permit2' } }), 'config/not-a-token'],
    ['a memo that is too long', () => ({ memo: 'ñ'.repeat(129) }), 'config/bad-memo'],
    ['an RPC URL that is none', () => ({ rpcUrl: 'devnet' }), 'config/bad-rpc-url'],
  ])('is an error for %s', (_, change, code) => {
    expect(() => serverOf(change())).toThrow(expect.objectContaining({ code }))
  })
  const asset = (network: string) => ({ network, address: chain.usdc.address, symbol: 'X', decimals: 6, transfer: 'spl-token' }) as const
})

describe('an offer', () => {
  it('says all that a payer needs, and is made anew when the blockhash is', async () => {
    const server = serverOf({ memo: 'shop 7' })
    await server.start?.()
    const first = offer(server)
    expect(first).toEqual({
      scheme: 'exact',
      network: chain.network,
      amount: '10000',
      asset: chain.usdc.address,
      payTo: chain.seller.address,
      maxTimeoutSeconds: 120,
      extra: {
        feePayer: chain.facilitator.address,
        memo: 'shop 7',
        recentBlockhash: expect.stringMatching(/^[1-9A-HJ-NP-Za-km-z]{32,44}$/),
        lastValidBlockHeight: expect.stringMatching(/^\d+$/),
      },
    })
    const before = server.revision?.()
    await chain.advance(3)
    expect(server.revision?.()).toBe(before)
    clock.now += 20_000
    server.revision?.()
    await expect.poll(() => server.revision?.()).not.toBe(before)
    expect(offer(server)).not.toEqual(first)
  })

  it('is made without a blockhash when the chain has not answered for long', async () => {
    const server = serverOf()
    await server.start?.()
    down = true
    clock.now += 60_000
    expect(offer(server).extra).toEqual({ feePayer: chain.facilitator.address })
    expect(server.revision?.()).toBeUndefined()
    down = false
    server.revision?.()
    await expect.poll(() => offer(server).extra?.recentBlockhash).toBeDefined()
  })

  it('tells the facts of a mint that is in no table, and the flow that is not the default', async () => {
    const mint = await chain.createMint({ decimals: 3, program: 'spl-token-2022' })
    await chain.mint(address(chain.seller.address), 1n, { mint })
    const server = serverOf({
      asset: { network: chain.network, address: mint, symbol: 'NEW', decimals: 3, transfer: 'token-2022', currency: 'USD' },
    })
    await server.start?.()
    const { amount, extra } = offer(server, { flow: 'upfront' })
    expect([amount, extra]).toEqual([
      '10',
      expect.objectContaining({ tokenProgram: 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb', decimals: 3, paymentFlow: 'upfront' }),
    ])
  })

  it('is refused without a fee payer, and to a payee whom nobody checked', () => {
    const server = serverOf()
    expect(() => offer(server, { kind: kindOf(undefined) })).toThrow(expect.objectContaining({ code: 'config/no-fee-payer' }))
    expect(() => offer(server, { payTo: chain.buyer.address })).toThrow(expect.objectContaining({ code: 'config/unchecked-payee' }))
    calls = []
    expect(offer(server, { kind: undefined }).extra).toEqual({ feePayer: '11111111111111111111111111111111' })
    expect(calls).toEqual([])
  })
})

describe('a payment', () => {
  it('for any fee payer of the facilitator is taken, and one that names another than it says is not (H59)', async () => {
    verifies('H59')
    const server = serverOf()
    await server.start?.()
    const requirements = offer(server)
    const replica = { ...requirements, extra: { ...requirements.extra, feePayer: chain.owner.address } }
    expect(server.ignoredExtra).toContain('feePayer')
    expect(valid(server, await pay(requirements))).toEqual({ valid: true, payer: chain.buyer.address })
    expect(valid(server, await pay(requirements, replica))).toEqual({ valid: true, payer: chain.buyer.address })
    const { payment } = await pay(requirements, replica)
    expect(valid(server, { payment: { ...payment, accepted: requirements }, requirements })).toMatchObject({
      valid: false,
      reason: 'invalid_exact_svm_fee_payer_mismatch',
    })
  })

  it.each<[string, Partial<PaymentRequirements>, string]>([
    ['amount', { amount: '9999' }, 'invalid_exact_svm_payload_amount_mismatch'],
    ['payee', { payTo: '7EeV8eiRuGoR8bFHCjdCRGQd1RM5sR2dAkdiTEtC9ko7' }, 'invalid_exact_svm_payload_recipient_mismatch'],
    ['scheme', { scheme: 'upto' }, 'invalid_exact_svm_unsupported_scheme'],
    ['network', { network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' }, 'invalid_exact_svm_network_mismatch'],
  ])('for another %s than was asked is refused (A26)', async (_, asked, reason) => {
    const server = serverOf()
    await server.start?.()
    const { payment, requirements } = await pay(offer(server))
    expect(valid(server, { payment, requirements: { ...requirements, ...asked } })).toMatchObject({ valid: false, reason })
  })

  it('without the memo that was asked, or that is no transaction, is refused', async () => {
    const server = serverOf()
    await server.start?.()
    const { payment, requirements } = await pay(offer(server))
    const memo = { ...requirements, extra: { ...requirements.extra, memo: 'shop 7' } }
    expect(valid(server, { payment, requirements: memo })).toMatchObject({ reason: 'invalid_exact_svm_payload_memo_mismatch' })
    const broken = { ...payment, payload: { transaction: 'AAAA' } }
    expect(valid(server, { payment: broken, requirements })).toMatchObject({
      reason: 'invalid_exact_svm_payload_transaction_could_not_be_decoded',
    })
    expect(server.key(broken)).toBeUndefined()
    expect(server.key({ ...payment, accepted: { ...requirements, network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' } })).toBeUndefined()
  })
})
