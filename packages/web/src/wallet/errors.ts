import { defineErrors } from '@flow402x/core'
import * as z from 'zod/mini'

const nothing = { status: 400, phase: 'sign', moneyMoved: 'no', retry: 'resign' } as const

/** What a wallet throws is its owner's no, or its own trouble: it signed nothing. */
export function refusedBy(wallet: string): (cause: unknown) => never {
  return (cause) => {
    throw walletErrors('wallet/refused', { wallet, why: reasonOf(cause), cause })
  }
}

const spoken = z.object({ message: z.string() })

/** Why, as a wallet says it. */
export function reasonOf(cause: unknown): string {
  return (z.safeParse(spoken, cause).data?.message ?? 'it gave no reason').slice(0, 200)
}

/** What goes wrong between a page and a wallet. */
export const walletErrors = defineErrors({
  'wallet/refused': {
    ...nothing,
    message: ({ wallet, why }: { wallet: string; why: string }) => `${wallet} did not sign: ${why.replace(/\.$/, '')}. No money moved.`,
  },
  'wallet/wrong-network': {
    ...nothing,
    message: ({ wallet, network }: { wallet: string; network: string }) =>
      `${wallet} is not on ${network} and did not change to it. Choose ${network} there, then try again.`,
  },
  'wallet/no-test-money': {
    ...nothing,
    message: ({ status }: { status: number }) => `There was no test money (status ${status}). Is the local world still running?`,
  },
})
