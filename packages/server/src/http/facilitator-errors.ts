import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const broken = { status: 502, phase: 'submit', moneyMoved: 'no', retry: 'same' } as const
const unavailable = { ...broken, status: 503 } as const

type Asked = { readonly url: string }

/** The errors of a remote facilitator: `config/…` for the developer at start, `facilitator/…` for the log and a 5xx to the buyer (H13). */
export const remoteErrors = defineErrors({
  'config/bad-facilitator-url': {
    ...atStart,
    message: ({ why }: { why: string }) => `This is no URL of a facilitator: ${why}. Write it as "https://facilitator.example".`,
  },
  'config/bad-facilitator-auth': {
    ...atStart,
    message: ({ why }: { why: string }) =>
      `The facilitator's auth is neither a function nor header maps by route ({ verify, settle, supported }): ${why}. Without it requests would go out without credentials.`,
  },
  'facilitator/no-credentials': {
    ...unavailable,
    message: ({ url }: Asked) => `The auth function made no credentials for ${url}, so it was not asked. See the cause.`,
  },
  'facilitator/unauthorized': {
    ...broken,
    message: ({ url, status }: Asked & { status: number }) =>
      `The facilitator refused this server's credentials (${status} from ${url}). Check the auth option: the payment itself was not judged.`,
  },
  'facilitator/redirected': {
    ...broken,
    message: ({ url, status }: Asked & { status: number }) =>
      `The facilitator answered with a redirect (${status} from ${url}). It is not followed, because credentials belong to one origin: configure the final URL.`,
  },
  'facilitator/unreachable': {
    ...unavailable,
    message: ({ url }: Asked) => `The facilitator did not answer at ${url}. See the cause.`,
  },
  'facilitator/unavailable': {
    ...unavailable,
    message: ({ url, status, why }: Asked & { status: number; why: string }) =>
      `The facilitator cannot serve now (${status} from ${url}): ${why}.`,
  },
  'facilitator/malformed': {
    ...broken,
    message: ({ url, why }: Asked & { why: string }) => `The facilitator's answer from ${url} does not follow x402: ${why}.`,
  },
  'facilitator/malformed-settlement': {
    status: 502,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ url, why }: Asked & { why: string }) =>
      `The facilitator was asked to settle and its answer from ${url} does not follow x402: ${why}. Whether money moved is not known.`,
  },
})
