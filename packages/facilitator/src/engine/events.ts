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
