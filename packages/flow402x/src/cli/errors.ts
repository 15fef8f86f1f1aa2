import { defineErrors } from '@flow402x/core'

const usage = { status: 400, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the command itself. */
export const cliErrors = defineErrors({
  'cli/unknown-command': {
    ...usage,
    message: ({ command }: { command: string }) => `There is no command "${command}". Run "flow402x --help" for the list.`,
  },
  'cli/usage': { ...usage, message: ({ why, usage: form }: { why: string; usage: string }) => `${why}\nUsage: ${form}` },
  'cli/no-key': {
    ...usage,
    message: ({ variable }: { variable: string }) =>
      `No key to pay with: set ${variable} to a private key, or ${variable}_FILE to a file that holds one. Keys are never taken from the command line.`,
  },
  'cli/open-key-file': {
    ...usage,
    message: ({ file }: { file: string }) => `The key file ${file} can be read by others. Run "chmod 600 ${file}" and try again.`,
  },
  'cli/unreadable-file': { ...usage, message: ({ file, why }: { file: string; why: string }) => `${file} could not be read: ${why}.` },
  'cli/no-testing': {
    ...usage,
    message: (_: Record<never, never>) =>
      'Local chains come with @flow402x/testing, which is not installed. Run "npm install -D @flow402x/testing".',
  },
  'cli/port-taken': {
    ...usage,
    message: ({ port }: { port: number }) => `Port ${port} is taken. Choose another, or leave it out for a free one.`,
  },
})
