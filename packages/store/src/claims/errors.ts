import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of stores: what keeps one from being trusted with claims, and what cannot be read back. */
export const storeErrors = defineErrors({
  'config/memory-store': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'The memory store forgets every claim when the process ends and is refused in production. Use a durable store, or pass { force: true } if losing claims is acceptable.',
  },
  'config/store-not-durable': {
    ...atStart,
    message: ({ store, why, fix }: { store: string; why: string; fix: string }) =>
      `${store} could lose what it has acknowledged, so it is not trusted with money: ${why}. ${fix}`,
  },
  'config/store-unreachable': {
    ...atStart,
    message: ({ store, why }: { store: string; why: string }) => `${store} could not be reached, and nothing is sold without it: ${why}.`,
  },
  'config/amount-too-large': {
    ...atStart,
    message: ({ amount }: { amount: string }) => `Budgets in Redis count amounts of at most 90 digits; ${amount} has more.`,
  },
  'config/bad-webhook': {
    ...atStart,
    message: ({ why }: { why: string }) => `Nothing can be told to this webhook: ${why}.`,
  },
  'store/contended': {
    status: 503,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ store, attempts }: { store: string; attempts: number }) =>
      `${store} refused one change ${attempts} times because others changed the same rows. Nothing of it was done; send the same again.`,
  },
  'store/overtaken': {
    status: 503,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ channel }: { channel: string }) =>
      `Channel ${channel} was changed in the database while Redis worked on it: all processes of a seller work on his channels through the same Redis, or none. The database's word stands; send the same again.`,
  },
  'store/unreadable': {
    status: 503,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ what, why }: { what: string; why: string }) =>
      `${what} in the store cannot be read: ${why}. It was changed by hand or written by another version; it is left as it is.`,
  },
})
