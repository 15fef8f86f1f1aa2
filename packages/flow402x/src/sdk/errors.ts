import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the friendly SDK. */
export const sdkErrors = defineErrors({
  'sdk/no-marketplace': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'No marketplace: name one in the call, in the options, or in FLOW402X_BAZAAR_URL. "flow402x dev" prints one that works.',
  },
  'sdk/no-cap': {
    ...atStart,
    message: ({ currency }: { currency: string }) =>
      `${currency} is not worth a dollar, so a limit in dollars says nothing of it: give spending.caps.${currency}, such as { perRequest: '0.001', total: '0.01' }.`,
  },
  'sdk/no-middleware': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'Nobody says what this route costs: give verifyX402Payment a price and a payee, or app.use(x402({ … })) before the route.',
  },
})
