import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the transports. */
export const transportErrors = defineErrors({
  'stream/bad-playlist': {
    ...atStart,
    message: ({ why }: { why: string }) => `This playlist cannot be sold: ${why}. Nothing of it was shown.`,
  },
})
