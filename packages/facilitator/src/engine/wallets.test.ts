import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type Outcome, parsePrice, type Submission } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { hostileAccount } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

let chain: EvmChain
let facilitator: LocalFacilitator
let sent: string[] = []

const counted: typeof fetch = (input, init) => {
  sent.push(...(/eth_sendRawTransaction/.exec(String(init?.body)) ?? []))
  return fetch(input, init)
}

beforeAll(async () => {
  chain = await startEvmChain()
  const { network, rpcUrl } = chain
  const writer = evmChain({ network, rpcUrl, signers: [chain.facilitator.privateKey], fetch: counted })
  facilitator = createFacilitator({ schemes: [exactEvmFacilitator({ chain: writer })], finality: 0 })
  await facilitator.start()
})
afterAll(async () => {
  await facilitator.close({ signal: AbortSignal.timeout(1000) })
  await chain.stop()
})

type Signer = Parameters<typeof exactEvmClient>[0]['signer']

async function pay(signer: Signer): Promise<Submission> {
  const { network, seller } = chain
  const offer = { price: parsePrice('$0.01'), kind: undefined, maxTimeoutSeconds: 300, flow: 'authorization' } as const
  const requirements = exactEvmServer({ network, payTo: seller.address }).requirements(offer)
  const { payload } = await exactEvmClient({ signer }).prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
}

const keys = () => chain.accounts.filter(({ role }) => role === 'buyer').map(({ privateKey }) => privateKeySigner(privateKey))

/** An account that says yes to every signature while gas is free, and burns all of it when it is paid for. */
async function bomb(index: number): Promise<Signer> {
  const address = `0x${'b0'.repeat(19)}0${index}` as const
  await chain.rpc('anvil_setCode', [address, hostileAccount.code])
  // Its first slot says in which way it is hostile: the fourth.
  await chain.rpc('anvil_setStorageAt', [address, '0x0', `0x${'3'.padStart(64, '0')}`])
  await chain.mint(address, 1_000_000n)
  return { address, sign: async () => `0x${'17'.repeat(65)}` }
}

const settleAll = (submissions: readonly Submission[]): Promise<Outcome[]> =>
  Promise.all(submissions.map((submission, index) => facilitator.settle(submission, { claimId: `${index} ${crypto.randomUUID()}` })))

describe('payers who burn gas once it is paid for, among others', () => {
  it('are verified, and not sent: the others settle together, a smart wallet by itself, and no transaction fails', async () => {
    verifies(['M14', 'M15', 'A7'])
    const wallet = await chain.deploySmartAccount(chain.owner.address)
    const smart = await pay({ ...privateKeySigner(chain.owner.privateKey), address: wallet })
    const honest = await Promise.all(keys().map((signer) => pay(signer)))
    const bombs = await Promise.all([1, 2, 3].map(async (index) => pay(await bomb(index))))
    const all = [...bombs.slice(0, 2), ...honest, smart, ...bombs.slice(2)]
    for (const submission of all) expect(await facilitator.verify(submission)).toMatchObject({ valid: true })
    const before = await chain.balanceOf(chain.seller.address)
    sent = []
    const outcomes = await settleAll(all)
    const settled = outcomes.flatMap((outcome) => (outcome.status === 'settled' ? [outcome.transaction] : []))
    expect(settled).toHaveLength(honest.length + 1)
    expect((await chain.balanceOf(chain.seller.address)) - before).toBe(10_000n * BigInt(honest.length + 1))
    const refused = outcomes.filter(({ status }) => status !== 'settled')
    expect(refused.map((outcome) => ({ ...outcome, deadAfter: 0 }))).toEqual(
      bombs.map(() => expect.objectContaining({ status: 'notSettled', reason: 'settlement_not_sent', retry: 'never' })),
    )
    const transactions = [...new Set(settled)]
    expect(sent).toHaveLength(transactions.length)
    expect(transactions.length).toBeLessThan(settled.length)
    const ofWallet = outcomes[all.indexOf(smart)]
    expect(settled.filter((transaction) => transaction === (ofWallet?.status === 'settled' && ofWallet.transaction))).toHaveLength(1)
    for (const transaction of transactions) {
      expect(Object(await chain.rpc('eth_getTransactionReceipt', [transaction])).status).toBe('0x1')
    }
  })
})
