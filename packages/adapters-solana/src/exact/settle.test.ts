import type { FacilitatorScheme, Outcome, PaymentPayload, Submission } from '@flow402x/core'
import { createFacilitator, type LocalFacilitator } from '@flow402x/facilitator'
import { postgresStore } from '@flow402x/store/postgres'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { whenMined } from '@flow402x/testing/suites'
import type { KeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { payment, requirementsOn, signerOf } from '../fixtures/payments.ts'

let local: SolanaChain
let payer: KeyPairSigner
let postgres: TestServer
const facilitators: LocalFacilitator[] = []

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 50 })
  payer = await signerOf(local.buyer)
  postgres = await startPostgres()
})
afterAll(async () => {
  await Promise.all(facilitators.map((one) => one.close()))
  await local?.stop()
  await postgres?.stop()
})

function schemeOf(signers: readonly string[] = [local.facilitator.privateKey]) {
  const { network, rpcUrl } = local
  return exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers }) })
}

function facilitatorWith(options: Partial<Parameters<typeof createFacilitator>[0]> = {}): LocalFacilitator {
  const facilitator = createFacilitator({ schemes: [schemeOf()], confirmTimeout: 15_000, ...options })
  facilitators.push(facilitator)
  return facilitator
}

const balances = async () => ({ payer: await local.balanceOf(payer.address), payee: await local.balanceOf(local.seller.address) })

/** The same message once more, whose fee payer's slot is filled with something, and the base64 written without its padding. */
function spelledOtherwise({ payment: { payload, ...rest }, requirements }: Submission): Submission {
  const bytes = Buffer.from(String(payload.transaction), 'base64')
  bytes.fill(7, 1, 65)
  const other: PaymentPayload = { ...rest, payload: { transaction: bytes.toString('base64').replace(/=+$/, '') } }
  return { payment: other, requirements }
}

it('settles exactly the price, at the expense of the fee payer, in the transaction it names', async () => {
  const facilitator = facilitatorWith()
  const submission = await payment({ local, payer })
  const before = await balances()
  const sol = await local.solBalance(local.facilitator.address)
  expect(await facilitator.verify(submission)).toMatchObject({ valid: true, payer: payer.address, funds: before.payer })
  expect(await balances()).toEqual(before)
  const outcome = await facilitator.settle(submission)
  expect(outcome).toMatchObject({ status: 'settled', network: local.network, payer: payer.address, amount: '10000' })
  expect(await balances()).toEqual({ payer: before.payer - 10_000n, payee: before.payee + 10_000n })
  expect(sol - (await local.solBalance(local.facilitator.address))).toBe(10_001n)
  await expect
    .poll(() => schemeOf().verify(submission))
    .toMatchObject({ valid: false, message: expect.stringContaining('AlreadyProcessed') })
})

it('knows a payment whatever stands in the signature slots, and settles it once', async () => {
  verifies('A4')
  const facilitator = facilitatorWith()
  const submission = await payment({ local, payer })
  const other = spelledOtherwise(submission)
  expect(other.payment.payload).not.toEqual(submission.payment.payload)
  expect(schemeOf().key(other.payment)?.id).toBe(schemeOf().key(submission.payment)?.id)
  const before = await balances()
  const outcomes = await Promise.all(
    [submission, other, submission].map((one, at) => facilitator.settle(one, { claimId: `spelling-${at}` })),
  )
  expect(count(outcomes, 'settled')).toBe(1)
  expect(count(outcomes, 'notSettled')).toBe(2)
  expect(await balances()).toEqual({ payer: before.payer - 10_000n, payee: before.payee + 10_000n })
})

it('tells success to one of the claims that three facilitators with one store are asked to settle', async () => {
  verifies(['A3', 'H59'])
  const store = await postgresStore(postgres.url)
  const three = [1, 2, 3].map(() => facilitatorWith({ store, lease: 1500 }))
  const submission = await payment({ local, payer })
  const before = await balances()
  const asked = three.flatMap((facilitator, at) =>
    [0, 1, 2].map((again) => facilitator.settle(submission, { claimId: `claim-${at}-${again}` })),
  )
  const outcomes = await Promise.all(asked)
  expect(count(outcomes, 'settled')).toBe(1)
  expect(outcomes.filter((outcome) => outcome.status === 'notSettled' && outcome.reason === 'duplicate_settlement')).toHaveLength(8)
  expect(await balances()).toEqual({ payer: before.payer - 10_000n, payee: before.payee + 10_000n })
})

it('advertises one fee payer for ever and takes payments for each that it manages', async () => {
  verifies('H59')
  const [, spare] = local.accounts.filter(({ role }) => role === 'buyer')
  if (spare === undefined) return expect.unreachable()
  const scheme = schemeOf([local.facilitator.privateKey, spare.privateKey])
  for (let call = 0; call < 20; call += 1) expect(scheme.supported().extra).toEqual({ feePayer: local.facilitator.address })
  const submission = await payment({ local, payer }, { requirements: requirementsOn(local, { feePayer: spare.address }) })
  const facilitator = facilitatorWith({ schemes: [scheme] })
  expect(await facilitator.settle(submission)).toMatchObject({ status: 'settled' })
  // Made for one replica's offer, and presented with another's.
  const { payment: crossed } = await payment({ local, payer }, { feePayer: spare.address })
  expect(await scheme.verify({ payment: crossed, requirements: requirementsOn(local) })).toMatchObject({ valid: true })
})

/** Signs and sends without asking anybody, and waits until the chain has it. */
async function mined(scheme: FacilitatorScheme, submission: Submission) {
  const { writer } = scheme
  const [signer = ''] = writer.signers
  const signed = await writer.sign(scheme.plan(submission), { signer, nonce: 0n })
  await writer.send(signed)
  return { signed, result: await whenMined(writer, signed) }
}

it('calls nothing a payment but its own message with its own effect', async () => {
  const scheme = schemeOf()
  const [mine, other] = [await payment({ local, payer }), await payment({ local, payer })]
  const { result } = await mined(scheme, other)
  const { logs } = result.status
  expect(scheme.outcome(other, result)).toMatchObject({ status: 'settled', amount: '10000', payer: payer.address })
  expect(scheme.outcome(mine, result)).toMatchObject({
    status: 'notSettled',
    reason: 'post_settlement_transfer_not_confirmed',
    retry: 'never',
  })
  // The same message, whose transaction is said to have moved less, more, or nothing.
  const { asset } = other.requirements
  expect(
    logs
      .filter(({ address }) => address === asset)
      .map(({ data }) => data)
      .sort(),
  ).toEqual(['-10000', '10000'])
  for (const change of ['9999', '10001', undefined]) {
    const told = logs.flatMap((log) => (log.data === '10000' ? (change === undefined ? [] : [{ ...log, data: change }]) : [log]))
    expect(scheme.outcome(other, { ...result, status: { ...result.status, logs: told } }).status).toBe('notSettled')
  }
})

it('says of a transaction that failed on chain that it failed', async () => {
  const [, , spare] = local.accounts.filter(({ role }) => role === 'buyer')
  if (spare === undefined) return expect.unreachable()
  const poor = await signerOf(spare)
  const requirements = { ...requirementsOn(local), amount: `${(await local.balanceOf(poor.address)) - 1n}` }
  const scheme = schemeOf()
  const both = [await payment({ local, payer: poor }, { requirements }), await payment({ local, payer: poor }, { requirements })]
  for (const one of both) expect(await scheme.verify(one)).toMatchObject({ valid: true })
  const [first, second] = both
  if (first === undefined || second === undefined) return expect.unreachable()
  expect(scheme.outcome(first, (await mined(scheme, first)).result).status).toBe('settled')
  const { result } = await mined(scheme, second)
  expect(result.status).toMatchObject({ success: false })
  expect(scheme.outcome(second, result)).toMatchObject({
    status: 'notSettled',
    reason: 'invalid_exact_svm_transaction_failed',
    retry: 'never',
  })
})

it('finds a settled payment in the history when its blockhash is long gone, also from another process', async () => {
  verifies('M21')
  const scheme = schemeOf()
  const { signed, result } = await mined(scheme, await payment({ local, payer }))
  await local.advance(500)
  expect(await scheme.writer.status(signed)).toEqual(result.status)
  expect(await schemeOf().writer.status(signed)).toEqual(result.status)
  expect(await scheme.writer.final()).toBeGreaterThan(result.status.block)
})

function count(outcomes: readonly Outcome[], status: Outcome['status']): number {
  return outcomes.filter((outcome) => outcome.status === status).length
}
