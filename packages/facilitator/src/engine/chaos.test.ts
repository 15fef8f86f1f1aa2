import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Outcome, Submission } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RpcProxy, startRpcProxy } from '../fixtures/rpc-proxy.ts'
import type { FacilitatorEvent } from './events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from './facilitator.ts'

/** What the proxy does with one `eth_sendRawTransaction`. */
type Fault = 'none' | 'errorBefore' | 'errorAfter' | 'brokenBefore' | 'brokenAfter'

type Proxy = RpcProxy & { plan: (send: number) => Fault; sends: number; faults: number; down: boolean }

/** A real RPC provider on a bad day: it stands in front of anvil and answers some sends with an error, before or after they arrived. */
async function startProxy(target: string): Promise<Proxy> {
  const state = { plan: (_: number): Fault => 'none', sends: 0, faults: 0, down: false }
  const served = await startRpcProxy(target, async (body, forward) => {
    const fault = state.down ? 'brokenBefore' : body.includes('eth_sendRawTransaction') ? state.plan(state.sends++) : 'none'
    if (fault !== 'none') state.faults += 1
    const answer = fault === 'none' || fault.endsWith('After') ? await forward(body) : ''
    if (fault.startsWith('broken')) return undefined
    const error = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32603, message: 'internal error' } })
    return fault === 'none' ? answer : error
  })
  return Object.assign(state, served)
}

describe('a facilitator whose RPC fails', () => {
  let chain: EvmChain
  let proxy: Proxy
  let events: FacilitatorEvent[]
  let facilitator: LocalFacilitator

  const start = async (signers: number, options: Partial<FacilitatorOptions> = {}): Promise<void> => {
    chain = await startEvmChain()
    proxy = await startProxy(chain.rpcUrl)
    events = []
    const keys = [chain.facilitator, ...chain.accounts.slice(-3)].slice(0, signers).map(({ privateKey }) => privateKey)
    // No block follows on this chain, so what is mined must be final.
    const writer = evmChain({ network: chain.network, rpcUrl: proxy.url, signers: keys, confirmations: 0n })
    facilitator = createFacilitator({
      schemes: [exactEvmFacilitator({ chain: writer })],
      confirmTimeout: 60_000,
      finality: 300,
      onEvent: (event) => events.push(event),
      ...options,
    })
    await facilitator.start()
  }
  const stop = async (): Promise<void> => {
    await facilitator.close()
    await proxy.close()
    await chain.stop()
  }
  const payments = (count: number, amount = 10n): Promise<Submission[]> =>
    Promise.all(Array.from({ length: count }, () => signExact(chain, exactRequirements(chain, amount), { payer: chain.buyer })))
  const settleAll = (submissions: readonly Submission[], label: string): Promise<Outcome[]> =>
    Promise.all(submissions.map((submission, index) => facilitator.settle(submission, { claimId: `${label}-${index}` })))
  const nonces = async (): Promise<unknown[]> => {
    const { signers } = await facilitator.supported()
    const both = (signers?.['eip155:*'] ?? []).map(async (signer) => [
      await chain.rpc('eth_getTransactionCount', [signer, 'latest']),
      await chain.rpc('eth_getTransactionCount', [signer, 'pending']),
    ])
    return Promise.all(both)
  }

  describe('on one send in ten, before or after it arrived', () => {
    // One transaction each, in turn: on a busy machine the last of them stands in line for long.
    beforeAll(() => start(1, { batch: false, confirmTimeout: 60_000 }))
    afterAll(stop)

    it('mines 200 payments at once, each once, without a gap and without a wedge (H9)', async () => {
      verifies('H9')
      const faults: Fault[] = ['errorBefore', 'errorAfter', 'brokenBefore', 'brokenAfter']
      proxy.plan = (send) => (send % 10 === 3 ? (faults[Math.floor(send / 10) % 4] ?? 'none') : 'none')
      const before = await chain.balanceOf(chain.seller.address)
      const outcomes = await settleAll(await payments(200), 'one-in-ten')
      expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
      expect(new Set(outcomes.map(({ transaction }) => transaction)).size).toBe(200)
      expect((await chain.balanceOf(chain.seller.address)) - before).toBe(2000n)
      expect(proxy.faults).toBeGreaterThanOrEqual(20)
      const [[latest, pending] = []] = (await nonces()) as string[][] // each is a pair of quantities
      expect([latest, pending]).toEqual(['0xc8', '0xc8'])
    })

    it('settles the next payment as if nothing had been', async () => {
      proxy.plan = () => 'none'
      expect(await settleAll(await payments(1), 'afterwards')).toMatchObject([{ status: 'settled' }])
    })
  })

  describe('for good while a payment is being sent', () => {
    beforeAll(() => start(1, { confirmTimeout: 6000 }))
    afterAll(stop)

    it('answers pending for the one that may have arrived and settles it later with the same bytes', async () => {
      verifies('H1')
      const [lost] = await payments(1)
      if (lost === undefined) return expect.unreachable()
      proxy.plan = () => 'brokenAfter'
      await chain.rpc('evm_setAutomine', [false])
      const outcome = await facilitator.settle(lost, { claimId: 'lost' })
      expect(outcome).toMatchObject({ status: 'pending', transaction: expect.stringMatching(/^0x/) })
      proxy.plan = () => 'none'
      await chain.rpc('evm_setAutomine', [true])
      await chain.mine()
      const [next] = await settleAll(await payments(1), 'next')
      expect(next).toMatchObject({ status: 'settled' })
      expect(await facilitator.settle(lost, { claimId: 'lost' })).toMatchObject({ status: 'settled', transaction: outcome.transaction })
    })

    it('judges and sends nothing while the RPC is down, and serves the same payment when it is back', async () => {
      const [first] = await payments(1)
      if (first === undefined) return expect.unreachable()
      const before = await nonces()
      expect(await facilitator.verify(first)).toMatchObject({ valid: true })
      proxy.down = true
      await expect(facilitator.verify(first)).rejects.toMatchObject({ code: 'facilitator/cannot-verify', status: 503, moneyMoved: 'no' })
      await expect(facilitator.settle(first, { claimId: 'down' })).rejects.toMatchObject({ code: 'facilitator/cannot-verify' })
      proxy.down = false
      expect(await nonces()).toEqual(before)
      expect(await facilitator.settle(first, { claimId: 'down' })).toMatchObject({ status: 'settled' })
    })
  })

  describe('not at all, with four signers and a poisoned payment', () => {
    beforeAll(() => start(4, { batch: false }))
    afterAll(stop)

    it('uses every lane, and mines all others when one reverts on chain', async () => {
      const poor = chain.accounts[4] ?? chain.buyer
      const all = await chain.balanceOf(poor.address)
      const poison = await signExact(chain, exactRequirements(chain, all), { payer: poor })
      const good = await payments(32)
      const mixed = [...good.slice(0, 10), poison, ...good.slice(10)]
      await chain.rpc('evm_setAutomine', [false])
      const settling = settleAll(mixed, 'poisoned')
      await expect.poll(() => events.filter(({ type }) => type === 'sent').length).toBe(33)
      const word = (value: string): string => value.replace('0x', '').padStart(64, '0')
      const data = `0xa9059cbb${word(chain.owner.address)}${word(all.toString(16))}`
      const gasPrice = `0x${(10n ** 11n).toString(16)}`
      await chain.rpc('eth_sendTransaction', [{ from: poor.address, to: chain.usdc.address, data, gasPrice, gas: '0x30d40' }])
      await chain.rpc('evm_setAutomine', [true])
      await chain.mine()
      const outcomes = await settling
      expect(outcomes[10]).toMatchObject({
        status: 'notSettled',
        reason: 'invalid_exact_evm_transaction_failed',
        retry: 'never',
        transaction: expect.stringMatching(/^0x/),
      })
      expect(outcomes.filter(({ status }) => status === 'settled')).toHaveLength(32)
      const perSigner = (await nonces()) as string[][] // each is a pair of quantities
      expect(perSigner.map(([latest]) => Number(latest)).reduce((sum, count) => sum + count)).toBe(33)
      for (const [latest] of perSigner) expect(Number(latest)).toBeGreaterThanOrEqual(8)
    })
  })

  describe('that shares a key with somebody else', () => {
    beforeAll(() => start(1))
    afterAll(stop)

    it('takes a fresh nonce when its own was used elsewhere', async () => {
      expect(await settleAll(await payments(1), 'before')).toMatchObject([{ status: 'settled' }])
      const from = chain.facilitator.address
      await chain.rpc('anvil_impersonateAccount', [from])
      await chain.rpc('eth_sendTransaction', [{ from, to: chain.owner.address, value: 1n }])
      expect(await settleAll(await payments(3), 'after')).toMatchObject(Array(3).fill({ status: 'settled' }))
    })
  })
})
