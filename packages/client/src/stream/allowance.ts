import { formatAmount, type LedgerEntry, type SignedPayment } from '@flow402x/core'
import type { Terms } from '../engine/choose.ts'
import { clientErrors } from '../engine/errors.ts'
import { release, settle } from '../engine/ledger.ts'
import { reserve, type Wallet } from '../engine/pay.ts'
import { approve, hex } from '../engine/sign.ts'

/**
 * What a stream holds of a budget: each raise of its voucher is set aside before it is signed, spent once it was delivered, and free
 * again where the stream ends without it. What a dead process leaves behind counts as spent, and stays so: the voucher for it can be claimed as
 * long as its channel lives, whatever its receiver says that he charged. So no budget ever counts less than dead processes had signed.
 */
export type Allowance = {
  /** Sets `amount` (atomic) aside. Errors: `client/over-budget`, `client/refused`. */
  add(amount: bigint): Promise<void>
  /** What was set aside last was not signed after all: it is free at once. */
  undo(): Promise<void>
  /** Says what was signed by now, so that all of it is written down. */
  signed(payment: SignedPayment): Promise<void>
  /** So much of it was delivered in all. */
  spend(used: bigint): Promise<void>
  /** The stream is over. */
  end(used: bigint): Promise<void>
}

type Part = { readonly amount: bigint; entry: LedgerEntry }

// For how long what was signed for a stream is kept for it, in seconds: no window is longer under way.
const keptSeconds = 900

/** An empty allowance for a stream of these terms. */
export function createAllowance(wallet: Wallet, terms: Terms, signal: AbortSignal | undefined): Allowance {
  const { ledger, random, beforeSign } = wallet
  const parts: Part[] = []
  let spent = 0n

  async function setAside(asked: Terms): Promise<void> {
    const reservation = hex(random(16))
    const deadAfter = Math.floor(wallet.now() / 1000) + keptSeconds
    const { entry } = await ledger.begin({ id: reservation, binding: `STREAM ${terms.url}`, reservation, deadAfter }, wallet.now())
    try {
      await reserve(wallet, reservation, asked)
    } catch (error) {
      await ledger.update(entry, { state: 'released' })
      throw error
    }
    parts.push({ amount: asked.amount, entry })
  }

  async function spend(used: bigint, kept = 0): Promise<void> {
    for (let part = parts[0]; part !== undefined && parts.length > kept && spent + part.amount <= used; part = parts[0]) {
      parts.shift()
      spent += part.amount
      await settle(wallet, part.entry)
    }
  }

  return {
    async add(amount) {
      if (amount <= 0n) return
      const asked = costing(terms, amount)
      await approve(asked, { beforeSign, signal })
      await setAside(asked)
    },
    async signed(payment) {
      for (const part of parts.filter(({ entry }) => entry.signed === undefined)) {
        const written = await ledger.update(part.entry, { state: 'open', signed: payment })
        if (written === undefined) throw clientErrors('client/call-under-way', { url: terms.url, callId: part.entry.id })
        part.entry = written
      }
    },
    async undo() {
      if (parts.at(-1)?.entry.signed !== undefined) return
      const part = parts.pop()
      if (part !== undefined) await release(wallet, part.entry)
    },
    // The last part stays open: in the end the receiver may count less of it.
    spend: (used) => spend(used, 1),
    async end(used) {
      await spend(used)
      const left = used - spent
      const rest = parts.splice(0)
      // Of the window that broke off only a part was delivered: it is set aside anew, to the last unit.
      if (left > 0n) await setAside(costing(terms, left)).catch(() => {})
      const exact = parts.shift()
      const [whole, ...free] = rest
      if (exact !== undefined) await settle(wallet, exact.entry)
      if (whole !== undefined) await (left > 0n && exact === undefined ? settle(wallet, whole.entry) : release(wallet, whole.entry))
      for (const { entry } of free) await release(wallet, entry)
    },
  }
}

function costing(terms: Terms, amount: bigint): Terms {
  return Object.freeze({ ...terms, amount, price: formatAmount(amount, terms.asset) })
}
