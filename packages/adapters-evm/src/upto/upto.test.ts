import { assetOf, isX402Error, type PaymentRequirements, parsePrice, type Submission, type Verdict } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '../client.ts'
import { evmChain, uptoEvmFacilitator } from '../facilitator.ts'
import { permit2Reasons, uptoReasons } from '../permit2/wire.ts'
import { uptoEvmServer } from '../server.ts'
import { amountUsed } from './usage.ts'

let local: LocalChain
let facilitator: ReturnType<typeof uptoEvmFacilitator>
let seller: ReturnType<typeof uptoEvmServer>
let requirements: PaymentRequirements

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl } = local
  facilitator = uptoEvmFacilitator({ chain: evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] }) })
  seller = uptoEvmServer({ network, payTo: local.seller.address })
  requirements = seller.requirements({
    price: parsePrice('$0.01'),
    kind: facilitator.supported(),
    maxTimeoutSeconds: 300,
    flow: 'authorization',
  })
})
afterAll(() => local.stop())

const now = () => Math.floor(Date.now() / 1000)
const reasonOf = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason)

async function pay(): Promise<Submission> {
  const client = uptoEvmClient({ signer: privateKeySigner(local.buyer.privateKey) })
  const { payload } = await client.prepare(requirements, { now: now(), maxTimeoutSeconds: 300 })
  return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
}

const asking = (submission: Submission, change: Partial<PaymentRequirements>): Submission => ({
  ...submission,
  requirements: { ...submission.requirements, ...change },
})

test('an offer names ceiling, method, domain and the one facilitator', () => {
  verifies('UPTO-EVM')
  expect(requirements).toEqual({
    scheme: 'upto',
    network: local.network,
    amount: '10000',
    asset: local.usdc.address,
    payTo: local.seller.address,
    maxTimeoutSeconds: 300,
    extra: { name: 'USDC', version: '2', assetTransferMethod: 'permit2', facilitatorAddress: local.facilitator.address },
  })
  const client = uptoEvmClient({ signer: privateKeySigner(local.buyer.privateKey) })
  expect(client.supports({ ...requirements, extra: { assetTransferMethod: 'permit2' } })).toBe(false)
  expect(client.supports({ ...requirements, extra: { facilitatorAddress: local.facilitator.address } })).toBe(false)
})

describe('refused, by a reason of the specification', () => {
  test.each<[string, (submission: Submission) => Submission]>([
    ['invalid_upto_evm_scheme', (s) => asking(s, { scheme: 'exact' })],
    ['invalid_upto_evm_network_mismatch', (s) => asking(s, { network: 'eip155:8453' })],
    ['invalid_upto_evm_payload_settlement_exceeds_amount', (s) => asking(s, { amount: '10001' })],
    ['permit2_allowance_required', (s) => s],
  ])('%s', async (reason, change) => {
    verifies(['UPTO-EVM', 'ERROR-CODES', 'H49'])
    expect([...permit2Reasons, ...uptoReasons]).toContain(reason)
    expect(reasonOf(await facilitator.verify(change(await pay())))).toBe(reason)
  })

  test('what was signed for the exact proxy, or for another facilitator than was offered', async () => {
    verifies(['UPTO-EVM', 'A26'])
    const asExact = { ...requirements, scheme: 'exact' }
    const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), methods: [permit2()] })
    const { payload } = await client.prepare(asExact, { now: now(), maxTimeoutSeconds: 300 })
    const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
    expect(seller.key(submission.payment)).toBe(undefined)
    expect(reasonOf(await facilitator.verify(submission))).toBe('unsupported_payload_type')
    const offered = { ...requirements, extra: { ...requirements.extra, facilitatorAddress: local.owner.address } }
    const { payment } = await pay()
    expect(reasonOf(seller.check({ payment, requirements: offered }, { now: now() }))).toBe('upto_facilitator_mismatch')
  })
})

test('usage is exact, rounded down, and never above the ceiling', () => {
  verifies(['UPTO-EVM', 'H28'])
  const asset = assetOf('eip155:84532')
  const ceiling = fc.bigInt({ min: 0n, max: 2n ** 128n })
  fc.assert(
    fc.property(ceiling, fc.integer({ min: 0, max: 12_000 }), (most, share) => {
      const percent = `${Math.floor(share / 100)}.${String(share % 100).padStart(2, '0')}%`
      const expected = (most * BigInt(share)) / 10_000n
      if (expected > most) expect(() => amountUsed(percent, { ceiling: most, asset })).toThrow()
      else expect(amountUsed(percent, { ceiling: most, asset })).toBe(expected)
    }),
  )
  fc.assert(
    fc.property(ceiling, fc.string(), (most, text) => {
      try {
        const used = amountUsed(text, { ceiling: most, asset })
        expect(used >= 0n && used <= most).toBe(true)
      } catch (error) {
        expect(isX402Error(error, 'evm/bad-usage')).toBe(true)
      }
    }),
  )
  expect(amountUsed('$0.0000019', { ceiling: 10n, asset })).toBe(1n)
})
