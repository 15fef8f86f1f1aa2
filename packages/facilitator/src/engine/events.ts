import type { Outcome } from '@flow402x/core'

/** What a facilitator tells its operator while it works; `payment` is `PaymentKey.id`, and no event carries a signature. */
export type FacilitatorEvent =
  | { readonly type: 'started'; readonly scheme: string; readonly network: string }
  | { readonly type: 'startFailed'; readonly scheme: string; readonly network: string; readonly error: unknown }
  | { readonly type: 'verifyFailed'; readonly scheme: string; readonly network: string; readonly error: unknown }
  | { readonly type: 'notSent'; readonly network: string; readonly signer: string; readonly error: unknown }
  | { readonly type: 'sent'; readonly network: string; readonly signer: string; readonly nonce: bigint; readonly transaction: string }
  | {
      readonly type: 'sendFailed'
      readonly network: string
      readonly signer: string
      readonly nonce: bigint
      readonly transaction: string
      readonly attempt: number
      readonly error: unknown
    }
  /** A transaction that was not mined for too long was signed again on the same nonce, offering more. */
  | {
      readonly type: 'replaced'
      readonly network: string
      readonly signer: string
      readonly nonce: bigint
      readonly transaction: string
      readonly before: string
    }
  /** Somebody else used this signer's key: its lane stands still until the chain has proved what became of these payments. */
  | {
      readonly type: 'foreign'
      readonly network: string
      readonly signer: string
      readonly nonce: bigint
      readonly payments: readonly string[]
    }
  /** A transaction that was mined is not any more; the same bytes are sent again. */
  | {
      readonly type: 'reorganised'
      readonly network: string
      readonly signer: string
      readonly nonce: bigint
      readonly transaction: string
    }
  /** Payments that were told settled and are not: the chain took it back, and now they have another outcome, or wait for one. */
  | {
      readonly type: 'undone'
      readonly network: string
      readonly signer: string
      readonly nonce: bigint
      readonly payments: readonly string[]
    }
  /** A signer has less than its chain wants it to have, in atomic units of the chain's coin; with no other left its network is not served. */
  | {
      readonly type: 'runningDry' | 'refilled'
      readonly network: string
      readonly signer: string
      readonly held: bigint
      readonly least: bigint
    }
  | { readonly type: 'journalFailed'; readonly network: string; readonly error: unknown }
  | { readonly type: 'readFailed'; readonly network: string; readonly error: unknown }
  | { readonly type: 'outcomeFailed'; readonly network: string; readonly transaction: string; readonly error: unknown }
  | { readonly type: 'outcome'; readonly payment?: string; readonly outcome: Outcome }
  | { readonly type: 'requestFailed'; readonly route: string; readonly error: unknown }

/** Receives events. */
export type OnEvent = (event: FacilitatorEvent) => void

/** An observer that cannot disturb what it observes. */
export function quietly(onEvent: OnEvent | undefined): OnEvent {
  if (onEvent === undefined) return () => {}
  return (event) => {
    try {
      onEvent(event)
    } catch {
      // A settlement under way must end the same whether or not somebody watches it.
    }
  }
}
