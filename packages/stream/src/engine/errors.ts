import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const untouched = { moneyMoved: 'no', retry: 'never' } as const

/** The errors of a seller of streams. */
export const engineErrors = defineErrors({
  'config/no-rail': {
    ...atStart,
    message: ({ scheme }: { scheme: string }) =>
      `Payments by ${scheme === '' ? 'none of these schemes' : scheme} carry no stream: give a scheme that has a rail, such as batchSettlementServer.`,
  },
  'config/bad-stream': {
    ...atStart,
    message: ({ why }: { why: string }) => `This stream cannot be sold: ${why}.`,
  },
  'config/stream-unsupported': {
    ...atStart,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `The facilitator settles no ${scheme} on ${network}. Ask its /supported, or give another.`,
  },
  'stream/no-purchase': {
    ...atStart,
    phase: 'deliver',
    moneyMoved: 'yes',
    message: (_: Record<never, never>) =>
      'Views that are kept are granted for a payment that was settled before: charge with `flow: "upfront"` and hand on its `purchase`.',
  },
  'stream/malformed': {
    status: 400,
    phase: 'submit',
    ...untouched,
    message: ({ why }: { why: string }) => `This could not be read: ${why}. Nothing was charged.`,
  },
  'stream/unknown-lane': {
    status: 404,
    phase: 'submit',
    ...untouched,
    message: (_: Record<never, never>) => 'There is no such lane here. Open a new one; nothing was charged.',
  },
  'stream/stale': {
    status: 409,
    phase: 'submit',
    moneyMoved: 'no',
    retry: 'resign',
    message: ({ accepted }: { accepted: string }) => `A higher voucher was accepted before: sign for more than ${accepted}.`,
  },
  'stream/over': {
    status: 410,
    phase: 'deliver',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ reason }: { reason: string }) => `This lane is over (${reason}). Open a new one; what was not used is yours again.`,
  },
  'stream/draining': {
    status: 423,
    phase: 'submit',
    ...untouched,
    message: (_: Record<never, never>) => 'Money is being taken out of this channel, so that nothing more is sold over it.',
  },
  'stream/too-fast': {
    status: 429,
    phase: 'submit',
    moneyMoved: 'no',
    retry: 'same',
    message: (_: Record<never, never>) => 'That was too much at once for this lane. Send the newest voucher alone, a second later.',
  },
  'stream/not-ready': {
    status: 503,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'same',
    message: (_: Record<never, never>) => 'The books cannot be written right now. Keep the voucher and send the same one again.',
  },
})
