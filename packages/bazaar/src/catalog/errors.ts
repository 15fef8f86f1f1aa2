import { defineErrors } from '@flow402x/core'

const refused = { phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the bazaar: `request/…` for who asks it, `bazaar/…` for what went wrong inside. */
export const bazaarErrors = defineErrors({
  'request/not-found': {
    ...refused,
    status: 404,
    message: ({ path }: { path: string }) => `There is nothing at ${path}. The interface is described at /openapi.json.`,
  },
  'request/bad-method': {
    ...refused,
    status: 405,
    message: ({ method, allowed }: { method: string; allowed: string }) => `${method} is not for this path: use ${allowed}.`,
  },
  'request/malformed': { ...refused, status: 400, message: ({ why }: { why: string }) => `The request cannot be read: ${why}.` },
  'request/too-large': {
    ...refused,
    status: 413,
    message: ({ limit }: { limit: number }) => `The body has more than ${limit} bytes.`,
  },
  'request/too-many': {
    ...refused,
    status: 429,
    retry: 'same',
    message: ({ seconds }: { seconds: number }) => `Too many requests from here: come again in ${seconds} s.`,
  },
  'request/unauthorized': {
    ...refused,
    status: 401,
    message: (_: Record<never, never>) => 'Only a facilitator with the key of this bazaar may tell it of settlements.',
  },
  'bazaar/closed': {
    ...refused,
    status: 503,
    retry: 'same',
    message: (_: Record<never, never>) => 'The bazaar is closing. Come again later.',
  },
  'bazaar/internal': {
    ...refused,
    status: 500,
    retry: 'same',
    message: (_: Record<never, never>) => 'Something went wrong inside the bazaar.',
  },
})
