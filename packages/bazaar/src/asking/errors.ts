import { defineErrors } from '@flow402x/core'

const asking = { status: 502, phase: 'quote', moneyMoved: 'no', retry: 'same' } as const

/** What goes wrong between a bazaar and who asks it. */
export const bazaarClientErrors = defineErrors({
  'config/bad-bazaar-url': {
    status: 500,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ url }: { url: string }) => `"${url}" is no URL of a bazaar: give one such as https://bazaar.example.`,
  },
  'bazaar/wrong-signer': {
    ...asking,
    retry: 'never',
    message: ({ network }: { network: string }) =>
      `A rating is signed by the wallet that paid, which is of ${network}: this signer is not.`,
  },
  'bazaar/unreachable': {
    ...asking,
    message: ({ url }: { url: string }) => `The bazaar did not answer at ${url}.`,
  },
  'bazaar/refused': {
    ...asking,
    message: ({ url, status, why }: { url: string; status: number; why: string }) => `The bazaar answered ${status} at ${url}: ${why}`,
  },
  'bazaar/bad-answer': {
    ...asking,
    message: ({ url, why }: { url: string; why: string }) => `The answer of the bazaar at ${url} cannot be read: ${why}.`,
  },
})
