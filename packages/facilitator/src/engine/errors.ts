import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const unavailable = { status: 503, phase: 'submit', moneyMoved: 'no', retry: 'same' } as const
const refused = { phase: 'submit', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the facilitator: `config/…` for its operator at start, `facilitator/…` and `request/…` for who asks it. */
export const facilitatorErrors = defineErrors({
  'config/no-facilitator-scheme': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'The facilitator has no scheme, so it could verify and settle nothing. Pass at least one, such as exactEvmFacilitator({ network, chain }).',
  },
  'config/duplicate-facilitator-scheme': {
    ...atStart,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `The scheme "${scheme}" on ${network} is configured twice; the second could never be used.`,
  },
  'config/no-signer': {
    ...atStart,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `The scheme "${scheme}" on ${network} has no signer, so nothing could be settled. Give its chain at least one key that holds native coin for gas.`,
  },
  'config/no-outbox': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'What is to be told is written to the outbox of a store: pass one that has an outbox, or leave `tell` out.',
  },
  'config/shared-signer': {
    ...atStart,
    message: ({ signer, network }: { signer: string; network: string }) =>
      `${signer} sends on ${network} through two chain values, so both would take the same nonces. Make the chain once and pass it to every scheme.`,
  },
  'facilitator/not-ready': {
    ...unavailable,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `The facilitator could not start "${scheme}" on ${network} yet and tries again. Nothing was charged; send the same payment again later.`,
  },
  'facilitator/closed': {
    ...unavailable,
    message: (_: Record<never, never>) =>
      'The facilitator is shutting down and takes no more payments. Nothing was charged; send the same payment again later.',
  },
  'facilitator/cannot-verify': {
    ...unavailable,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `The facilitator could not check this "${scheme}" payment against ${network}. Nothing was charged; send the same payment again later.`,
  },
  'facilitator/unknown-signer': {
    ...unavailable,
    retry: 'never',
    message: ({ signer, network }: { signer: string; network: string }) =>
      `This payment is to be sent by ${signer}, which is none of this facilitator's signers on ${network}. Nothing was charged; pay by what /supported lists.`,
  },
  'facilitator/out-of-gas': {
    ...unavailable,
    message: ({ network }: { network: string }) =>
      `The facilitator has too little of the coin of ${network} to pay for fees. Nothing was charged; send the same payment again later.`,
  },
  'facilitator/busy': {
    ...unavailable,
    message: ({ why }: { why: string }) => `${why}. Nothing was charged; send the same payment again later.`,
  },
  'facilitator/internal': {
    status: 500,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: (_: Record<never, never>) =>
      'The facilitator failed. Whether money moved is not known: send the same payment again later and sign no new one.',
  },
  'request/unauthorized': {
    ...refused,
    status: 401,
    message: (_: Record<never, never>) => 'This facilitator does not serve the caller: send the credentials that its operator gave you.',
  },
  'request/not-found': {
    ...refused,
    status: 404,
    message: ({ path }: { path: string }) =>
      `There is nothing at ${path}: a facilitator has /supported, /verify, /settle and perhaps /status.`,
  },
  'request/bad-method': {
    ...refused,
    status: 405,
    message: ({ method, allowed }: { method: string; allowed: string }) => `${method} is not allowed here: use ${allowed}.`,
  },
  'request/too-large': {
    ...refused,
    status: 413,
    message: ({ limit }: { limit: number }) => `The request body has more than ${limit} bytes, which is all that is read.`,
  },
  'request/malformed': {
    ...refused,
    status: 400,
    message: ({ why }: { why: string }) => `The request could not be read: ${why}. Nothing was charged.`,
  },
  'request/bad-version': {
    ...refused,
    status: 400,
    message: ({ version }: { version: number }) => `x402 version ${version} is not spoken here: use 2, or 1.`,
  },
})
