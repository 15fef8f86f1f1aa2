import { defineErrors } from '@flow402x/core'

const nothing = { status: 402, phase: 'sign', moneyMoved: 'no', retry: 'resign' } as const

/** What goes wrong while something is bought. */
export const checkoutErrors = defineErrors({
  'checkout/changed': {
    ...nothing,
    message: ({ now, was }: { now: string; was: string }) =>
      `The seller now asks ${now} instead of ${was}. Nothing was signed and no money moved. Load the page again to see the new price.`,
  },
  'checkout/no-funds': {
    ...nothing,
    message: ({ wallet, why }: { wallet: string; why: string }) =>
      `${wallet} cannot pay this: ${why}. Nothing was signed and no money moved.`,
  },
  'checkout/nothing-signed': {
    ...nothing,
    retry: 'never',
    message: () => 'Nothing is signed for this yet, so there is nothing to send again.',
  },
  'checkout/elsewhere': {
    ...nothing,
    status: 409,
    retry: 'same',
    message: () => 'This is being paid in another tab. Nothing more was signed here; go on there, or close it and try again.',
  },
})
