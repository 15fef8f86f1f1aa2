import { setImmediate as turn } from 'node:timers/promises'
import { isX402Error, type Submission } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exactSolanaFacilitator, smartWalletPrograms, solanaChain } from '../facilitator.ts'
import { type Change, payment, requirementsOn, signerOf, submissionOf } from '../fixtures/payments.ts'

let local: SolanaChain
let corpus: readonly Uint8Array[]

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  const payer = await signerOf(local.buyer)
  const changes: readonly Change[] = [
    {},
    { instructions: ({ limit, price, transfer, assertion }) => [limit, price, transfer, assertion, assertion, assertion] },
    { instructions: ({ limit, price, transfer, assertion }) => [limit, price, assertion, transfer] },
    { tables: { [local.seller.address]: [local.usdc.address] } },
  ]
  const made = await Promise.all(changes.map((change) => payment({ local, payer }, change)))
  corpus = made.map((one) => Buffer.from(String(one.payment.payload.transaction), 'base64'))
})
afterAll(() => local?.stop())

function schemes() {
  const { network, rpcUrl, facilitator } = local
  const chain = solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] })
  return [exactSolanaFacilitator({ chain }), exactSolanaFacilitator({ chain, smartWallets: smartWalletPrograms })]
}

// The fee payer's empty signature stands before: what is in there makes no difference, which is another test.
const signedFrom = 65
const small = fc.integer({ min: 0, max: 255 })
const edits = fc.array(fc.tuple(fc.integer({ min: 0, max: 1231 }), small), { maxLength: 4 })
const pick = fc.integer({ min: 0, max: 3 })
const cut = fc.option(fc.integer({ min: 0, max: 1231 }), { freq: 5 })

/** Bytes that were a payment: some changed, some cut off, or all of them by chance. */
const damaged = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(pick, edits, cut).map(([which, changes, end]) => damage(corpus[which] ?? new Uint8Array(), { changes, end })),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
)

function damage(bytes: Uint8Array, { changes, end }: { changes: readonly [number, number][]; end: number | null }): Buffer {
  const copy = Buffer.from(bytes)
  for (const [at, value] of changes) copy[signedFrom + (at % (copy.length - signedFrom))] = value
  return end === null ? copy : copy.subarray(0, end)
}

const submitted = (bytes: Buffer): Submission => submissionOf(bytes.toString('base64'), requirementsOn(local))

it('gives each of 4,000 damaged transactions a verdict, and takes none but those that nothing happened to', async () => {
  const both = schemes()
  const whole = new Set(corpus.map((bytes) => Buffer.from(bytes).toString('base64')))
  const texts = fc.oneof(
    { weight: 20, arbitrary: damaged.map((bytes) => bytes.toString('base64')) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  )
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      // What is refused without asking the chain leaves the loop no turn, and connections their end.
      await turn()
      const submission = submissionOf(text, requirementsOn(local))
      for (const scheme of both) {
        const verdict = await scheme.verify(submission)
        if (verdict.valid) expect(whole).toContain(text)
        else expect(verdict.reason).toMatch(/^invalid_exact_svm_/)
      }
    }),
    { numRuns: 2_000 },
  )
})

// It holds the loop for seconds, so it comes last: connections end meanwhile.
it('names and plans 96,000 damaged transactions without another error than that they cannot be settled', () => {
  verifies('A5')
  const both = schemes()
  fc.assert(
    fc.property(damaged, (bytes) => {
      const submission = submitted(bytes)
      for (const scheme of both) {
        scheme.key(submission.payment)
        try {
          expect(scheme.plan(submission)).toMatchObject([{ alone: true, signer: local.facilitator.address }])
        } catch (error) {
          if (!isX402Error(error, 'solana/not-settleable')) throw error
        }
      }
    }),
    { numRuns: 48_000 },
  )
})
