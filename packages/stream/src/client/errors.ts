import { defineErrors } from '@flow402x/core'

const unknown = { status: 502, phase: 'deliver', moneyMoved: 'yes', retry: 'resign' } as const

/** The errors of who reads paid streams. Whatever they say, no more was signed than was delivered and one window. */
export const readerErrors = defineErrors({
  'stream/not-open': {
    status: 502,
    phase: 'quote',
    moneyMoved: 'unknown',
    retry: 'never',
    message: ({ url, status, why }: { url: string; status: number; why: string }) =>
      `${url} opened no stream: ${why} (status ${status}). At most one window was signed for.`,
  },
  'stream/lane-over': {
    ...unknown,
    message: ({ url, status }: { url: string; status: number }) =>
      `The lane of ${url} is over, or nobody there knows it (status ${status}). What it did not use is credit of its channel; open it anew.`,
  },
  'stream/overcharged': {
    ...unknown,
    retry: 'never',
    message: ({ url, said, signed }: { url: string; said: bigint; signed: bigint }) =>
      `${url} says that it delivered for ${said}, and ${signed} were signed. Nothing more is signed for it; take what is left of the channel out on chain.`,
  },
  'stream/tick-refused': {
    ...unknown,
    message: ({ url, status, why }: { url: string; status: number; why: string }) =>
      `${url} took no more vouchers (status ${status}${why}). Nothing more was signed.`,
  },
  'stream/broken': {
    ...unknown,
    retry: 'same',
    message: ({ url, tries }: { url: string; tries: number; cause?: unknown }) =>
      `The stream of ${url} broke off and did not come back in ${tries} tries. What was signed beyond what came is at most one window.`,
  },
  'stream/short': {
    ...unknown,
    message: ({ url, received, expected }: { url: string; received: bigint; expected: string }) =>
      `${url} gave ${received} bytes of ${expected}: the rest was not paid for, or not delivered.`,
  },
  'stream/part-refused': {
    ...unknown,
    retry: 'never',
    message: ({ url }: { url: string }) =>
      `${url} asks again for what was paid, or counts more than it gave. Nothing more is signed for it; no more than two windows are lost.`,
  },
  'stream/spent': {
    ...unknown,
    retry: 'never',
    message: ({ url, signed }: { url: string; signed: bigint }) =>
      `${url} costs more than what its channel holds or was agreed to: ${signed} were signed, and nothing was signed for it.`,
  },
  'stream/bad-option': {
    status: 500,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ option, why }: { option: string; why: string }) => `payStream: ${option} is not usable: ${why}. Nothing was sent.`,
  },
})
