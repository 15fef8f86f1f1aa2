import { defineErrors } from '@flow402x/core'

const nothing = { status: 400, phase: 'sign', moneyMoved: 'no', retry: 'resign' } as const

/** What goes wrong between a page and a wallet. */
export const playerErrors = defineErrors({
  'wallet/refused': {
    ...nothing,
    message: ({ wallet, why }: { wallet: string; why: string }) => `${wallet} did not sign: ${why}`,
  },
  'wallet/wrong-network': {
    ...nothing,
    message: ({ wallet, network }: { wallet: string; network: string }) =>
      `${wallet} is not on ${network} and did not change to it. Choose ${network} there, then try again.`,
  },
  'page/no-part': {
    ...nothing,
    status: 500,
    message: ({ selector }: { selector: string }) => `The page has no ${selector}: its document and its script are not of one version.`,
  },
  'wallet/no-test-money': {
    ...nothing,
    message: ({ status }: { status: number }) => `There was no test money (status ${status}). Is the local world still running?`,
  },
})
