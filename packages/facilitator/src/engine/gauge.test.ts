import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import type { FacilitatorEvent } from './events.ts'
import { createFacilitator } from './facilitator.ts'
import { createGauge } from './gauge.ts'

let local: EvmChain
beforeAll(async () => {
  local = await startEvmChain()
})
afterAll(() => local.stop())

it('a network whose signer ran dry is not offered nor served, and nothing is sent', async () => {
  verifies('H33')
  const { network, rpcUrl, facilitator: signer } = local
  const events: FacilitatorEvent[] = []
  const start = () =>
    createFacilitator({
      schemes: [exactEvmFacilitator({ chain: evmChain({ network, rpcUrl, signers: [signer.privateKey] }) }), smallScheme(smallChain())],
      onEvent: (event) => events.push(event),
    })
  const submission = await signExact(local, exactRequirements(local, 1000n), { payer: local.buyer })
  await local.rpc('anvil_setBalance', [signer.address, 1000n])
  const dry = start()
  expect((await dry.supported()).kinds.map((kind) => kind.network)).toEqual(['test:1'])
  const refused = { code: 'facilitator/out-of-gas', status: 503, moneyMoved: 'no', retry: 'same' }
  await expect(dry.verify(submission)).rejects.toMatchObject(refused)
  await expect(dry.settle(submission)).rejects.toMatchObject(refused)
  expect(await dry.settle(smallPayment('a'))).toMatchObject({ status: 'settled' })
  expect(events).toContainEqual({ type: 'runningDry', network, signer: signer.address, held: 1000n, least: expect.any(BigInt) })
  await dry.close()
  await local.rpc('anvil_setBalance', [signer.address, 10n ** 19n])
  const filled = start()
  expect((await filled.supported()).kinds.map((kind) => kind.network)).toEqual([network, 'test:1'])
  expect(await filled.settle(submission)).toMatchObject({ status: 'settled' })
  await filled.close()
})

it('comes back as soon as one signer has enough, and does not go for a reading that failed', async () => {
  verifies('H33')
  const held: Record<string, bigint | undefined> = { one: 1n, two: 1n }
  const events: FacilitatorEvent[] = []
  const balance = async (signer: string) => {
    const now = held[signer]
    if (now === undefined) throw new TypeError('The chain is silent.')
    return { held: now, least: 5n }
  }
  const gauge = createGauge({ ...smallChain(['one', 'two']), balance }, { onEvent: (event) => events.push(event), every: 10 })
  await gauge.start()
  expect(gauge.filled).toBe(false)
  held.two = 5n
  await expect.poll(() => gauge.filled).toBe(true)
  held.two = undefined
  await expect.poll(() => events.some(({ type }) => type === 'readFailed')).toBe(true)
  expect(gauge.filled).toBe(true)
  gauge.stop()
  expect(events.slice(0, 3).map(({ type }) => type)).toEqual(['runningDry', 'runningDry', 'refilled'])
})
