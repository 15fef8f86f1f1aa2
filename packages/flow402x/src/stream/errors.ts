import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the friendly streams. */
export const streamErrors = defineErrors({
  'flow/no-variable': {
    ...atStart,
    message: ({ variable, purpose }: { variable: string; purpose: string }) =>
      `Set ${variable} to ${purpose}. "flow402x dev" prints a set of variables that works.`,
  },
  'flow/bad-price': {
    ...atStart,
    message: ({ why }: { why: string }) => `Nothing is sold: ${why}.`,
  },
  'flow/bad-stream': {
    ...atStart,
    message: ({ why }: { why: string }) => `Nothing was paid: ${why}.`,
  },
  'flow/no-clock': {
    ...atStart,
    message: (_: Record<never, never>) =>
      `Nobody can tell how many seconds these bytes are, so that none of them left: send a file with res.sendFile, give a duration or a bitrate, or charge for the time that passes with clock: 'wall'.`,
  },
  'stream/unread-file': {
    ...atStart,
    message: ({ path }: { path: string }) =>
      `Nobody can tell how long the recording in ${path} is, so nothing of it was sold: give its duration or its bitrate.`,
  },
})
