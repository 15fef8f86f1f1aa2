import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

const cut = { status: 500, phase: 'deliver', moneyMoved: 'yes', retry: 'never' } as const

/** The errors of the transports. */
export const transportErrors = defineErrors({
  'stream/bad-playlist': {
    ...atStart,
    message: ({ why }: { why: string }) => `This playlist cannot be sold: ${why}. Nothing of it was shown.`,
  },
  'stream/no-meter': {
    ...atStart,
    message: ({ unit }: { unit: string }) =>
      `Nobody can tell how many of the unit "${unit}" these bytes are: charge by byte, KB or MB, or by second for a recording whose length is known.`,
  },
  'stream/no-keys': {
    ...atStart,
    message: (_: Record<never, never>) => 'This programme is sold without keys: give createHlsCounter its keys.',
  },
  'stream/no-files': {
    ...atStart,
    message: (_: Record<never, never>) => 'This runtime has no files: give a source of bytes of your own.',
  },
  'stream/cut-off': {
    ...cut,
    message: (_: Record<never, never>) => 'The credit of this stream ended before its content. What was delivered is charged, and no more.',
  },
  'stream/source-changed': {
    ...cut,
    message: (_: Record<never, never>) => 'The content changed while it was delivered, so its answer was broken off.',
  },
})
