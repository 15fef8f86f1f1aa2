import type { JournalStore, NewSettlement, Outcome, Settlement, SignedTransaction, SignerLease } from '@flow402x/core'
import { expect } from 'vitest'

// What the suites of a journal are made of.

/** When everything begins (Unix ms). */
export const start = 1_763_700_000_000
/** When what is held is held no more (Unix ms). */
export const lease = start + 60_000
/** When payments are dead (Unix seconds). */
export const deadAfter = start / 1000 + 60
/** How long suites open their stores to keep what ended, in milliseconds. */
export const retention = 3_600_000

/** An outcome with everything that is hard to keep. */
export const refused: Outcome = {
  status: 'notSettled',
  network: 'eip155:84532',
  reason: 'invalid_exact_evm_payload_signature: \u0000 "odd"',
  message: 'caf\u00e9 \u{1f4b8}',
  retry: 'never',
  deadAfter,
}

/** A settlement that came to this transaction. */
export function settledWith(transaction: string): Outcome {
  return { status: 'settled', network: 'eip155:84532', transaction, payer: '0xpayer', amount: `${10n ** 77n}` }
}

let count = 0
const run = crypto.randomUUID()

/** Text that no other test of any journal uses; `order` says which came first. */
export function unique(): string {
  count += 1
  return `${run}-${count}`
}

/** When its text was made, against others. */
export function order(id: string): number {
  return Number(id.slice(run.length + 1))
}

/** One signer on one network. */
export type Lane = { readonly network: string; readonly signer: string }

/** A signer that no other test has. */
export function newLane(): Lane {
  return { network: 'eip155:84532', signer: unique() }
}

/** The lease of a signer that nobody holds. */
export async function leased(
  journal: JournalStore,
  { network, signer, owner = 'a' }: Lane & { readonly owner?: string },
  now = start,
): Promise<SignerLease> {
  const held = await journal.lease({ network, signer, owner, now, until: now + 60_000 })
  if (held === undefined) throw new Error('the lease was free')
  return held
}

/** A transaction on a nonce. */
export function signed({ signer }: { readonly signer: string }, nonce: bigint, name = 'one'): SignedTransaction {
  return { transaction: `0x${nonce.toString(16)}-${name}`, bytes: `0x02f8${'ab'.repeat(300)}${name}`, signer, nonce }
}

/** Settlements that were begun just now. */
export async function begun(journal: JournalStore, many: number, leaseUntil = lease): Promise<readonly Settlement[]> {
  const requests = Array.from({ length: many }, () => newSettlement({ leaseUntil }))
  return Promise.all(requests.map((request) => began(journal, request)))
}

/** A settlement that was begun just now. */
export async function began(journal: JournalStore, request: NewSettlement, now = start): Promise<Settlement> {
  const { begun, settlement } = await journal.begin(request, now)
  expect(begun).toBe(true)
  if (settlement === undefined) throw new Error('nothing stands in its way')
  return settlement
}

type Wanted = { readonly id?: string; readonly owner?: string; readonly amount?: string; readonly leaseUntil?: number }

/** A settlement as a facilitator begins it. */
export function newSettlement({ id = unique(), owner = 'someone', amount = '10000', leaseUntil = lease }: Wanted = {}): NewSettlement {
  const requirements = {
    scheme: 'exact',
    network: 'eip155:84532',
    amount,
    asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
    payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
    maxTimeoutSeconds: 60,
    extra: { name: 'USDC', version: '2' },
  }
  const payment = {
    x402Version: 2 as const,
    accepted: requirements,
    payload: { signature: '0x00', nonce: { of: ['a', 1, null, '\u0000'] } },
  }
  return {
    id,
    deadAfter,
    claimId: unique(),
    submission: { payment, requirements },
    draw: { account: unique(), amount: 10n ** 40n },
    owner,
    leaseUntil,
  }
}

/** The same in open mode: nobody can tell its asker from anybody else. */
export function withoutClaim({ claimId: _, ...settlement }: NewSettlement): NewSettlement {
  return { ...settlement, heardUntil: lease }
}
