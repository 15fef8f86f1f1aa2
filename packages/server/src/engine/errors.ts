import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const notReady = { status: 503, phase: 'quote', moneyMoved: 'no', retry: 'same' } as const
const refused = { status: 400, phase: 'submit', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the server: `config/…` for the developer at start, `payment/…` for the payer. */
export const serverErrors = defineErrors({
  'server/bad-usage': {
    status: 500,
    phase: 'settle',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ text }: { text: string }) =>
      `The handler's Settlement-Overrides is ${text}, so nothing was settled: it must be {"amount": "…"}, with atomic units, "$0.01" or "12.5%".`,
  },
  'config/no-digest': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'This runtime has neither node:crypto nor WebCrypto, so one purchase cannot be told from another. Nothing was sold; use one that has.',
  },
  'config/no-facilitator': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'No facilitator is configured, so nothing could be verified or settled. Pass one, in process or httpFacilitator(url); only transfer-proof with an rpcUrl needs none.',
  },
  'config/no-scheme': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'No scheme is configured, so there is no way to be paid. Pass at least one, such as exactEvmServer({ network, payTo }).',
  },
  'config/duplicate-scheme': {
    ...atStart,
    message: ({ scheme, network, asset }: { scheme: string; network: string; asset: string }) =>
      `The scheme "${scheme}" on ${network} in ${asset} is configured twice; the second could never be used.`,
  },
  'config/unsupported-scheme': {
    ...atStart,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `No facilitator supports "${scheme}" on ${network}. Check its /supported answer, or remove the scheme.`,
  },
  'config/unsupported-flow': {
    ...atStart,
    message: ({ scheme, flow }: { scheme: string; flow: string }) => `The scheme "${scheme}" has no "${flow}" flow.`,
  },
  'config/no-outbox': {
    ...atStart,
    message: (_: Record<never, never>) =>
      'What is to be told is written to the outbox of the store: pass one that has an outbox (Redis has none), or leave `tell` out.',
  },
  'config/bad-origin': {
    ...atStart,
    message: ({ origin }: { origin: string }) => `"${origin}" is no origin. Write it as "https://api.example.com", without a path.`,
  },
  'config/below-minimum': {
    ...atStart,
    message: ({ price, minimum }: { price: string; minimum: string }) =>
      `The price ${price} is below the minimum of ${minimum}. Raise it, or set minimumPrice if such a price is meant.`,
  },
  'config/short-timeout': {
    ...atStart,
    message: ({ seconds, least }: { seconds: number; least: number }) =>
      `maxTimeoutSeconds is ${seconds}; at least ${least} are needed to verify, work and settle.`,
  },
  'config/duplicate-extension': {
    ...atStart,
    message: ({ key }: { key: string }) => `The extension "${key}" stands twice among those of the server and of this route.`,
  },
  'config/offer-too-large': {
    ...atStart,
    message: ({ length, limit }: { length: number; limit: number }) =>
      `PAYMENT-REQUIRED would have ${length} characters; clients and proxies read ${limit}. Shorten the description or offer fewer ways to pay.`,
  },
  'config/no-proof': {
    ...atStart,
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `Nobody could say what became of a payment by "${scheme}" on ${network} whose settlement was not answered. Give the scheme an rpcUrl to see for itself, or use a facilitator that names "flow402x-claim-status" in the extensions of its /supported.`,
  },
  'facilitator/distrusted': {
    ...notReady,
    message: ({ url }: { url: string }) =>
      `Nothing is settled through ${url}: what it says has not been looked up for as much as \`trust\` allows, or the chain denied it once. Give the scheme an rpcUrl, raise trust, or use it again with server.forgive(url).`,
  },
  'server/no-rate': {
    ...notReady,
    message: ({ asset, why }: { asset: string; why: string }) => `Nobody says what ${asset} is worth, so nothing is sold for it: ${why}.`,
  },
  'server/not-ready': {
    ...notReady,
    message: (_: Record<never, never>) => 'The payment service is not ready. Nothing was charged; try again later.',
  },
  'payment/invalid': {
    ...refused,
    message: ({ reason }: { reason: string }) => `The payment was refused: ${reason}. Nothing was charged.`,
  },
  'payment/bad-identifier': {
    ...refused,
    message: (_: Record<never, never>) =>
      'The payment identifier must have 16 to 128 letters of a-z, A-Z, 0-9, _ and -. Nothing was charged.',
  },
  'payment/identifier-required': {
    ...refused,
    message: (_: Record<never, never>) =>
      'This resource requires a payment identifier. Nothing was charged; add one and send the payment again.',
  },
  'payment/identifier-reused': {
    ...refused,
    status: 409,
    message: (_: Record<never, never>) =>
      'This payment identifier already names another payment. This one was not charged; make an identifier for every payment.',
  },
  'payment/body-too-large': {
    ...refused,
    status: 413,
    message: ({ limit }: { limit: number }) =>
      `The request body has more than ${limit} bytes, which is what can be bound to a payment here. Nothing was charged.`,
  },
  'payment/body-cut-short': {
    ...refused,
    message: (_: Record<never, never>) => 'The request ended before its body did. Nothing was charged.',
  },
  'payment/bad-url': {
    ...refused,
    message: (_: Record<never, never>) => 'The request target and Host header make no URL. Nothing was charged.',
  },
  'payment/busy': {
    status: 409,
    phase: 'deliver',
    moneyMoved: 'no',
    retry: 'same',
    message: (_: Record<never, never>) => 'This payment is being served by another request. Send the same payment again after Retry-After.',
  },
  'payment/overdrawn': {
    status: 409,
    phase: 'submit',
    moneyMoved: 'no',
    retry: 'same',
    message: (_: Record<never, never>) =>
      'Other payments of this wallet are under way and use up what it holds. Nothing was charged; send the same payment again after Retry-After.',
  },
  'payment/pending': {
    status: 503,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ transaction }: { transaction: string }) =>
      transaction === ''
        ? 'The payment is being settled and may have moved. Send the same payment again after Retry-After; do not sign a new one.'
        : `The payment is being settled in ${transaction}. Send the same payment again after Retry-After; do not sign a new one.`,
  },
  'payment/unseen': {
    status: 503,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'same',
    message: (_: Record<never, never>) =>
      'The chain does not show this transfer yet. Show the same payment again after Retry-After; do not pay again.',
  },
  'payment/undelivered': {
    status: 503,
    phase: 'deliver',
    moneyMoved: 'yes',
    retry: 'same',
    message: ({ transaction }: { transaction: string }) =>
      `The payment was settled in ${transaction} and the resource failed to answer. Send the same payment again, or a new one from the same wallet for the same request: it will not be charged twice.`,
  },
  'payment/refund-due': {
    status: 500,
    phase: 'deliver',
    moneyMoved: 'yes',
    retry: 'never',
    message: ({ transaction }: { transaction: string }) =>
      `The payment was settled in ${transaction} and the resource failed as often as it is tried. Nothing more will be delivered for it: it is listed for the seller to give back. Ask the seller, and do not pay again for now.`,
  },
  'payment/handler-failed': {
    status: 500,
    phase: 'deliver',
    moneyMoved: 'no',
    retry: 'same',
    message: (_: Record<never, never>) => 'The resource failed to answer. Nothing was charged; the same payment may be sent again.',
  },
  'payment/handler-timeout': {
    status: 504,
    phase: 'deliver',
    moneyMoved: 'no',
    retry: 'same',
    message: (_: Record<never, never>) => 'The resource did not answer while the payment was valid. Nothing was charged.',
  },
})
