import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** What a seller finds wrong with what he says of his resources, before anybody reads it. */
export const sellerErrors = defineErrors({
  'config/bad-example': {
    ...atStart,
    message: ({ resource, part, why }: { resource: string; part: string; why: string }) =>
      `The example of ${part} for ${resource} does not fit its own schema: ${why}.`,
  },
  'config/no-example': {
    ...atStart,
    message: ({ resource }: { resource: string }) =>
      `${resource} is a template, and bazaars list it by a URL that answers: give example.path a value for each of its parameters.`,
  },
  'config/bad-listing': {
    ...atStart,
    message: ({ resource, reason, why }: { resource: string; reason: string; why: string }) =>
      `No bazaar would list ${resource} (${reason}): ${why}.`,
  },
  'config/duplicate-listing': {
    ...atStart,
    message: ({ resource }: { resource: string }) => `${resource} is described twice.`,
  },
})
