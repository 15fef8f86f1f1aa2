import { defineErrors } from '@flow402x/core'

const nothing = { status: 400, phase: 'sign', moneyMoved: 'no', retry: 'resign' } as const

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
