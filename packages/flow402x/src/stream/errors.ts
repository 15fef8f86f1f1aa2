import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the friendly streams. */
export const streamErrors = defineErrors({
  'stream/unread-file': {
    ...atStart,
    message: ({ path }: { path: string }) =>
      `Nobody can tell how long the recording in ${path} is, so nothing of it was sold: give its duration or its bitrate.`,
  },
})
