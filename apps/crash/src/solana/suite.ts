import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exactSolanaClient, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import type { PaymentRequirements, Submission } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { freePort } from '@flow402x/testing/servers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Part, startPart } from '../world/child.ts'
import type { Place } from '../world/places.ts'

const price = 10_000n

/** Where the journal is: in a file of its own where no place is said. */
export type SolanaSuite = { readonly name: string; readonly place?: () => Promise<{ readonly journal?: Place; stop(): Promise<void> }> }

/** Facilitators on Solana, where nonces have no order, that are killed or share a store. */
export function testSolanaFacilitators({ name, place = async () => ({ stop: async () => {} }) }: SolanaSuite): void {
  describe(`facilitators on Solana with their journal in ${name}`, () => {
    const parts: Part[] = []
    let local: SolanaChain
    let folder: string
    let opened: Awaited<ReturnType<typeof place>>
    beforeAll(async () => {
      ;[local, opened, folder] = await Promise.all([startSolanaChain(), place(), mkdtemp(join(tmpdir(), 'flow402x-crash-solana-'))])
    })
    afterEach(() => Promise.all(parts.splice(0).map((part) => part.kill())))
    afterAll(async () => {
      await opened?.stop()
      await local?.stop()
      rmSync(folder, { recursive: true, force: true })
    })

    const income = (): Promise<bigint> => local.balanceOf(local.seller.address)

    /** A facilitator in a process of its own, which dies at its trap. */
    async function start(): Promise<Part> {
      const { network, rpcUrl, facilitator } = local
      const { journal = { engine: 'SQLite', at: join(folder, 'journal.db') } } = opened
      const plan = { network, rpcUrl, journal, signers: [facilitator.privateKey], port: await freePort(), log: join(folder, 'log') }
      const part = await startPart({ program: 'facilitator', plan })
      parts.push(part)
      return part
    }

    async function pay(): Promise<Submission> {
      const { network, rpcUrl, usdc, seller, buyer, facilitator } = local
      const requirements: PaymentRequirements = {
        scheme: 'exact',
        network,
        amount: String(price),
        asset: usdc.address,
        payTo: seller.address,
        maxTimeoutSeconds: 120,
        extra: { feePayer: facilitator.address },
      }
      const client = exactSolanaClient({ signer: secretKeySender(buyer.privateKey), reader: solanaReader({ rpcUrl }) })
      const { payload } = await client.prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 120 })
      return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
    }

    /** Asks for the settlement of a payment and lets the process die as it sends the transaction. */
    async function settleAndDie(part: Part, { when, claimId }: { readonly when: 'before' | 'after'; readonly claimId: string }) {
      const submission = await pay()
      await part.arm({ at: 'chain.send', when, about: [local.facilitator.address] })
      const lost = httpFacilitator(part.url)
        .settle(submission, { claimId })
        .catch((error: unknown) => error)
      await part.died()
      await lost
      return submission
    }

    it.each([
      ['signed and not sent (K3)', 'is good', { when: 'before', end: 'settled' }],
      ['signed and not sent (K3)', 'has run out', { when: 'before', end: 'expired' }],
      ['sent and not seen again (K4)', 'is good', { when: 'after', end: 'settled' }],
      ['sent and not seen again (K4)', 'has run out', { when: 'after', end: 'settled' }],
    ] as const)('one dies with a payment %s and starts again while its blockhash %s', async (_, blockhash, { when, end }) => {
      verifies(['K3', 'K4', 'M21'])
      const claimId = randomUUID()
      const part = await start()
      const before = await income()
      const submission = await settleAndDie(part, { when, claimId })
      await expect.poll(income).toBe(when === 'after' ? before + price : before)
      if (blockhash === 'has run out') {
        await local.expireBlockhashes()
        await local.advance(64)
      }
      await part.restart()
      const facilitator = httpFacilitator(part.url)
      // Who has not seen it before lets a whole life of a blockhash pass before it calls it dead.
      const hurry = blockhash === 'has run out' ? setInterval(() => void local.advance(20), 200) : undefined
      const outcome = await facilitator.settle(submission, { claimId })
      clearInterval(hurry)
      if (end === 'settled') expect(outcome).toMatchObject({ status: 'settled', amount: String(price), payer: local.buyer.address })
      else expect(outcome).toMatchObject({ status: 'notSettled', reason: 'settlement_expired', retry: 'resign' })
      expect(await facilitator.settle(submission, { claimId })).toEqual(outcome)
      expect(await facilitator.settle(submission, { claimId: randomUUID() })).toMatchObject({ reason: 'duplicate_settlement' })
      expect(await income()).toBe(end === 'settled' ? before + price : before)
      expect(await facilitator.settle(await pay(), { claimId: randomUUID() })).toMatchObject({ status: 'settled' })
    })

    it('three processes are asked to settle one transaction by nine claims: one of them hears of success', async () => {
      verifies(['A3', 'H59'])
      const three = await Promise.all([start(), start(), start()])
      const submission = await pay()
      const before = await income()
      const asked = three.flatMap(({ url }) => [1, 2, 3].map(() => httpFacilitator(url).settle(submission, { claimId: randomUUID() })))
      const outcomes = await Promise.all(asked)
      expect(outcomes.filter(({ status }) => status === 'settled')).toHaveLength(1)
      expect(outcomes.filter((outcome) => outcome.status === 'notSettled' && outcome.reason === 'duplicate_settlement')).toHaveLength(8)
      expect(await income()).toBe(before + price)
    })
  })
}
