import { defineErrors } from '@flow402x/core'

/** What is wrong with a page. */
export const screenErrors = defineErrors({
  'page/no-part': {
    status: 500,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ selector }: { selector: string }) => `The page has no ${selector}: its document and its script are not of one version.`,
  },
})
