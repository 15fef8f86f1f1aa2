import { defineErrors } from '../protocol/errors.ts'

const badPeer = { status: 502, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of what FS/1 says on the wire: of offers, headers and rates. */
export const streamErrors = defineErrors({
  'stream/offer-inconsistent': {
    ...badPeer,
    message: ({ why }: { why: string }) =>
      `The offer of this stream contradicts itself: ${why}. Nothing was paid; its seller has to correct it.`,
  },
  'stream/bad-header': {
    status: 400,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ header, why }: { header: string; why: string }) => `${header} could not be read: ${why}. Nothing was charged.`,
  },
  'stream/bad-frame': {
    ...atStart,
    message: ({ why }: { why: string }) => `This frame cannot be written: ${why}.`,
  },
  'stream/bad-offer': {
    ...atStart,
    message: ({ why }: { why: string }) => `This stream cannot be offered: ${why}.`,
  },
})
