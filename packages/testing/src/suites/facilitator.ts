import { randomBytes } from 'node:crypto'
import type { Facilitator, Outcome, PaymentRequirements, Submission } from '@flow402x/core'
import { type Hex, hexToNumber, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevelopmentAccount } from '../chains/accounts.ts'
import type { EvmChain } from '../chains/evm-chain.ts'
import { hexSchema } from '../chains/json-rpc.ts'
import { verifies } from '../requirements.ts'

/** A facilitator that settles on a local chain, both started for one run of the suite. */
export type MountedFacilitator = { readonly facilitator: Facilitator; readonly chain: EvmChain; close(): Promise<void> }

/** What is asked of a mount: a facilitator that answers `pending` after `confirmTimeout` milliseconds without a block. */
export type FacilitatorMount = (setup: { readonly confirmTimeout: number }) => Promise<MountedFacilitator>

/** What an authorization says, where a test wants it otherwise than asked. */
export type AuthorizationChange = { readonly amount?: bigint; readonly validBefore?: number; readonly nonce?: Hex }

/** Requirements of `exact` on the chain's USDC, paid to its seller, in atomic units. */
export function exactRequirements(chain: EvmChain, amount: bigint): PaymentRequirements {
  const { network, usdc, seller } = chain
  const extra = { name: usdc.name, version: usdc.version }
  return { scheme: 'exact', network, amount: amount.toString(), asset: usdc.address, payTo: seller.address, maxTimeoutSeconds: 300, extra }
}

/** A payment signed by viem, not by our own client: a judge of its own. */
export async function signExact(
  chain: EvmChain,
  requirements: PaymentRequirements,
  { payer, ...change }: AuthorizationChange & { readonly payer: DevelopmentAccount },
): Promise<Submission> {
  const { chainId, usdc, seller } = chain
  const value = change.amount ?? BigInt(requirements.amount)
  const validBefore = BigInt(change.validBefore ?? Math.floor(Date.now() / 1000) + 250)
  const nonce = change.nonce ?? toHex(randomBytes(32))
  const message = { from: payer.address, to: seller.address, value, validAfter: 0n, validBefore, nonce }
  const signature = await privateKeyToAccount(payer.privateKey).signTypedData({
    domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: usdc.address },
    types: { TransferWithAuthorization: authorizationFields },
    primaryType: 'TransferWithAuthorization',
    message,
  })
  const authorization = { ...message, value: `${value}`, validAfter: '0', validBefore: `${validBefore}` }
  return { payment: { x402Version: 2, accepted: requirements, payload: { signature, authorization } }, requirements }
}

const authorizationFields = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'validAfter', type: 'uint256' },
  { name: 'validBefore', type: 'uint256' },
  { name: 'nonce', type: 'bytes32' },
] as const

/** What every facilitator of `exact` on an EVM chain must do, in process and behind HTTP alike. */
export function testFacilitator({ name, mount }: { readonly name: string; readonly mount: FacilitatorMount }): void {
  describe(`${name} is a facilitator`, () => {
    let mounted: MountedFacilitator
    let chain: EvmChain
    let facilitator: Facilitator
    let payers: DevelopmentAccount[]

    beforeAll(async () => {
      mounted = await mount({ confirmTimeout: 1500 })
      chain = mounted.chain
      facilitator = mounted.facilitator
      payers = chain.accounts.filter(({ role }) => role === 'buyer')
    })
    afterAll(() => mounted?.close())

    const pay = (amount: bigint, change: AuthorizationChange & { payer?: DevelopmentAccount } = {}): Promise<Submission> =>
      signExact(chain, exactRequirements(chain, amount), { payer: chain.buyer, ...change })
    const income = (): Promise<bigint> => chain.balanceOf(chain.seller.address)
    // How many transactions the facilitator's signers have had mined.
    const sent = async (): Promise<number> => {
      const { signers } = await facilitator.supported()
      const counts = (signers?.['eip155:*'] ?? []).map(async (signer) =>
        hexToNumber(hexSchema.parse(await chain.rpc('eth_getTransactionCount', [signer, 'latest']))),
      )
      return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
    }
    const settledIn = (outcome: Outcome): string => {
      expect(outcome).toMatchObject({ status: 'settled', network: chain.network })
      return outcome.status === 'settled' ? outcome.transaction : ''
    }

    describe('supported', () => {
      it('says the same bytes every time', async () => {
        verifies('FAC-SUPPORTED')
        const answers = await Promise.all([1, 2, 3].map(async () => JSON.stringify(await facilitator.supported())))
        expect(new Set(answers).size).toBe(1)
      })

      it('lists exact on its network, and its signers', async () => {
        verifies('FAC-SUPPORTED')
        const { kinds, signers } = await facilitator.supported()
        expect(kinds).toContainEqual(expect.objectContaining({ x402Version: 2, scheme: 'exact', network: chain.network }))
        expect(signers?.['eip155:*']).not.toHaveLength(0)
      })
    })

    describe('verify', () => {
      it('accepts a good payment and moves nothing', async () => {
        const before = { income: await income(), sent: await sent() }
        expect(await facilitator.verify(await pay(1000n))).toMatchObject({ valid: true, payer: chain.buyer.address })
        expect({ income: await income(), sent: await sent() }).toEqual(before)
      })

      it('refuses a forged signature', async () => {
        const [good, other] = await Promise.all([pay(1000n), pay(1001n)])
        const payload = { ...good.payment.payload, signature: other.payment.payload.signature }
        expect(await facilitator.verify({ ...good, payment: { ...good.payment, payload } })).toMatchObject({ valid: false })
      })

      it('refuses a payment that was signed for less, for more, or too long ago', async () => {
        verifies('A26')
        const bad = await Promise.all([
          pay(1000n, { amount: 999n }),
          pay(1000n, { amount: 1001n }),
          pay(1000n, { validBefore: 1_700_000_000 }),
        ])
        for (const submission of bad) expect(await facilitator.verify(submission)).toMatchObject({ valid: false })
      })

      it('refuses what the payer cannot pay', async () => {
        expect(await facilitator.verify(await pay(10n ** 15n))).toMatchObject({ valid: false })
      })

      it('refuses a payment that accepted something else than is asked', async () => {
        const submission = await pay(1000n)
        const asked = [{ payTo: chain.owner.address }, { asset: chain.owner.address }, { amount: '1001' }]
        for (const change of asked) {
          const requirements = { ...submission.requirements, ...change }
          expect(await facilitator.verify({ ...submission, requirements })).toMatchObject({
            valid: false,
            reason: 'invalid_payment_requirements',
          })
        }
      })

      it('names a scheme and a network that it does not serve', async () => {
        const asked = async (change: Partial<PaymentRequirements>) => {
          const { payment, requirements } = await pay(1000n)
          const other = { ...requirements, ...change }
          return facilitator.verify({ payment: { ...payment, accepted: other }, requirements: other })
        }
        expect(await asked({ scheme: 'barter' })).toMatchObject({ valid: false, reason: 'unsupported_scheme' })
        expect(await asked({ network: 'eip155:424242' })).toMatchObject({ valid: false, reason: 'invalid_network' })
      })

      it('does not blame the payer for a call that was given up', async () => {
        await expect(facilitator.verify(await pay(1000n), { signal: AbortSignal.abort() })).rejects.toThrow()
      })
    })

    describe('settle', () => {
      it('moves exactly what was asked, in a transaction that is mined', async () => {
        verifies('EXACT-EVM')
        const before = await income()
        const outcome = await facilitator.settle(await pay(1234n), { claimId: 'exactly-what-was-asked' })
        const receipt = await chain.rpc('eth_getTransactionReceipt', [settledIn(outcome)])
        expect(receipt).toMatchObject({ status: '0x1' })
        expect(outcome).toMatchObject({ payer: chain.buyer.address })
        expect((await income()) - before).toBe(1234n)
      })

      it('verifies again, whoever asks, and sends nothing for a bad payment', async () => {
        verifies('EXACT-EVM')
        const before = await sent()
        const bad = await Promise.all([pay(1000n, { amount: 999n }), pay(10n ** 15n), pay(1000n, { validBefore: 1_700_000_000 })])
        for (const submission of bad) {
          expect(await facilitator.settle(submission, { claimId: 'bad-payment' })).toMatchObject({
            status: 'notSettled',
            retry: expect.stringMatching(/^(never|resign)$/),
          })
        }
        expect(await sent()).toBe(before)
      })

      it('settles a payment once for one claim, asked twenty times at once and once more', async () => {
        verifies('A3')
        const submission = await pay(500n)
        const before = { income: await income(), sent: await sent() }
        const ask = (): Promise<Outcome> => facilitator.settle(submission, { claimId: 'one-claim-twenty-times' })
        const outcomes = [...(await Promise.all(Array.from({ length: 20 }, ask))), await ask()]
        expect(new Set(outcomes.map(settledIn)).size).toBe(1)
        expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1)
        expect({ income: await income(), sent: await sent() }).toEqual({ income: before.income + 500n, sent: before.sent + 1 })
      })

      it('tells every other claim that the payment is taken, at once and later', async () => {
        verifies(['A3', 'M2'])
        const submission = await pay(500n)
        const before = await income()
        const claims = ['claim-of-a', 'claim-of-b', 'claim-of-c', undefined]
        const outcomes = await Promise.all(claims.map((claimId) => facilitator.settle(submission, { claimId })))
        const late = await Promise.all(['claim-of-d', undefined].map((claimId) => facilitator.settle(submission, { claimId })))
        expect(outcomes.filter(({ status }) => status === 'settled')).toHaveLength(1)
        for (const outcome of [...outcomes, ...late].filter(({ status }) => status !== 'settled')) {
          expect(outcome).toMatchObject({ status: 'notSettled', reason: 'duplicate_settlement', retry: 'never' })
        }
        expect((await income()) - before).toBe(500n)
      })

      it('takes another spelling of the same authorization for the same payment', async () => {
        verifies(['A4', 'M11'])
        const submission = await pay(500n)
        const { authorization } = submission.payment.payload as { authorization: { from: string; nonce: string } } // signExact put it there
        const respelled = {
          ...authorization,
          from: authorization.from.toLowerCase(),
          nonce: authorization.nonce.toUpperCase().replace('0X', '0x'),
        }
        const payload = { authorization: respelled, signature: submission.payment.payload.signature }
        settledIn(await facilitator.settle(submission, { claimId: 'first-spelling' }))
        const second = await facilitator.settle(
          { ...submission, payment: { ...submission.payment, payload } },
          { claimId: 'second-spelling' },
        )
        expect(second).toMatchObject({ status: 'notSettled', reason: 'duplicate_settlement' })
      })

      it('mines each of 32 payments at once, and none of two that together exceed their payer', async () => {
        const poor = payers.at(-1) ?? chain.buyer
        const all = await chain.balanceOf(poor.address)
        const poison = await Promise.all([pay(all, { payer: poor }), pay(all - 1n, { payer: poor })])
        const others = payers.slice(0, -1)
        const good = await Promise.all(
          Array.from({ length: 32 }, (_, index) => pay(100n, { payer: others[index % others.length] ?? chain.buyer })),
        )
        const before = await income()
        const mixed = [...good.slice(0, 16), ...poison, ...good.slice(16)]
        const outcomes = await Promise.all(
          mixed.map((submission, index) => facilitator.settle(submission, { claimId: `at-once-${index}` })),
        )
        const poisoned = outcomes.slice(16, 18)
        const transactions = outcomes.filter((_, index) => index < 16 || index > 17).map(settledIn)
        expect(transactions).toHaveLength(32)
        expect(poisoned.map(({ status }) => status).sort()).toEqual(['notSettled', 'settled'])
        const drained = all - (await chain.balanceOf(poor.address))
        expect((await income()) - before).toBe(3200n + drained)
      })
    })

    describe('while no block is mined', () => {
      const withoutBlocks = async (during: () => Promise<void>): Promise<void> => {
        await chain.rpc('evm_setAutomine', [false])
        try {
          await during()
        } finally {
          await chain.rpc('evm_setAutomine', [true])
          await chain.mine()
        }
      }

      it('answers pending with the transaction, and settled with the same one when it is mined', async () => {
        verifies('FAC-PENDING')
        const submission = await pay(700n)
        const before = { income: await income(), sent: await sent() }
        const ask = (): Promise<Outcome> => facilitator.settle(submission, { claimId: 'pending-then-mined' })
        let pending: Outcome | undefined
        await withoutBlocks(async () => {
          pending = await ask()
          expect(pending).toMatchObject({ status: 'pending', transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/) })
          expect(await ask()).toEqual(pending)
          expect(await facilitator.settle(submission, { claimId: 'not-its-claim' })).toMatchObject({ reason: 'duplicate_settlement' })
        })
        expect(settledIn(await ask())).toBe(pending?.transaction)
        expect(await ask()).toMatchObject({ status: 'settled' })
        expect({ income: await income(), sent: await sent() }).toEqual({ income: before.income + 700n, sent: before.sent + 1 })
      })

      it('looks a pending payment up for the same request without a claim, and tells its success once', async () => {
        verifies('M2')
        const submission = await pay(700n)
        const before = await income()
        let pending: Outcome | undefined
        await withoutBlocks(async () => {
          pending = await facilitator.settle(submission)
          expect(pending).toMatchObject({ status: 'pending' })
        })
        const other = { ...submission, requirements: { ...submission.requirements, maxTimeoutSeconds: 299 } }
        expect(await facilitator.settle(other)).toMatchObject({ reason: 'duplicate_settlement' })
        expect(settledIn(await facilitator.settle(submission))).toBe(pending?.transaction)
        expect(await facilitator.settle(submission)).toMatchObject({ status: 'notSettled', reason: 'duplicate_settlement' })
        expect((await income()) - before).toBe(700n)
      })
    })
  })
}
