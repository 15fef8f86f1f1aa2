import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const unpaid = { status: 402, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const unsigned = { status: 402, phase: 'sign', moneyMoved: 'no', retry: 'resign' } as const
const unknown = { status: 504, phase: 'settle', moneyMoved: 'unknown', retry: 'same' } as const

/** One offer that was not taken, in words that are safe to log. */
export type LeftOut = {
  readonly scheme: string
  readonly network: string
  readonly asset: string
  readonly amount: string
  readonly payTo: string
  readonly why: string
}

/** The errors of a paying client: `client/…`. Each says what happened, whether money moved and what to do. */
export const clientErrors = defineErrors({
  'client/bad-option': {
    ...atStart,
    message: ({ option, why }: { option: string; why: string }) => `createClient: ${option} is not usable: ${why}. Nothing was sent.`,
  },
  'client/bad-offer': {
    ...unpaid,
    status: 502,
    message: ({ url, why }: { url: string; why: string }) =>
      `${url} asks for a payment in a form that cannot be read (${why}). Nothing was signed and no money moved; the seller has to mend its 402.`,
  },
  'client/no-payable-offer': {
    ...unpaid,
    message: ({ url, leftOut }: { url: string; leftOut: readonly LeftOut[] }) =>
      `${url} offers no way to pay that this client takes: ${leftOut.map(describe).join('; ') || 'it lists none'}. Nothing was signed and no money moved.`,
  },
  'client/over-budget': {
    ...unsigned,
    message: ({ url, price, scope, left }: { url: string; price: string; scope: string; left: string }) =>
      `${price} for ${url} would pass the budget "${scope}", of which ${left} is left. Nothing was signed and no money moved; raise that limit to go on.`,
  },
  'client/refused': {
    ...unsigned,
    retry: 'never',
    message: ({ url, price, why }: { url: string; price: string; why: string }) =>
      `beforeSign refused ${price} for ${url}: ${why}. Nothing was signed and no money moved.`,
  },
  'client/bad-preference': {
    ...unsigned,
    retry: 'never',
    message: ({ url }: { url: string }) =>
      `prefer chose no offer of ${url} that it was given. Nothing was signed and no money moved; it must return one of the values of its list.`,
  },
  'client/sign-failed': {
    ...unsigned,
    message: ({ url, scheme, network }: { url: string; scheme: string; network: string }) =>
      `The payment for ${url} could not be signed (${scheme} on ${network}). Nothing was sent and no money moved; see the cause.`,
  },
  'client/insecure-origin': {
    ...unpaid,
    message: ({ url }: { url: string }) =>
      `${url} asks for a payment over plain HTTP, where anyone on the way can alter the terms. Nothing was signed and no money moved; use https, or allowInsecure for a network you trust.`,
  },
  'client/clock-skew': {
    ...unpaid,
    message: ({ url, seconds }: { url: string; seconds: number }) =>
      `The clock of ${url} and this one are ${seconds} seconds apart, so a payment would be signed for the wrong time. Nothing was signed and no money moved; set the clock.`,
  },
  'client/redirect-refused': {
    ...unpaid,
    status: 502,
    message: ({ url, why }: { url: string; why: string }) =>
      `The redirect at ${url} was not followed: ${why}. Nothing was signed and no money moved.`,
  },
  'client/paid-redirect-refused': {
    ...unknown,
    status: 502,
    message: ({ url, why }: { url: string; why: string }) =>
      `${url} answered the payment with a redirect that was not followed: ${why}. The payment went to no other origin; whether it is used is unknown, so its amount stays reserved. Send the same payment again with client.resume(error).`,
  },
  'client/offer-changed': {
    ...unknown,
    status: 402,
    retry: 'never',
    message: ({ url, deadAfter }: { url: string; deadAfter: number }) =>
      `${url} was paid what it asked and now asks something else. Nothing more was signed; the first payment can be used until ${time(deadAfter)}, so its amount stays reserved. Do not pay this seller again before then.`,
  },
  'client/settle-unknown': {
    ...unknown,
    message: ({ url, attempts }: { url: string; attempts: number }) =>
      `The payment was sent to ${url} ${attempts} times without an answer. Whether money moved is unknown, so its amount stays reserved. Send the same payment again with client.resume(error); a new call would pay anew.`,
  },
  'client/settle-pending': {
    ...unknown,
    status: 503,
    message: ({ url, status, transaction }: { url: string; status: number; transaction: string }) =>
      `${url} has the payment and has not finished with it (status ${status}${transaction === '' ? '' : `, transaction ${transaction}`}). Its amount stays reserved. Send the same payment again with client.resume(error); a new call would pay anew.`,
  },
  'client/delivery-failed': {
    status: 502,
    phase: 'deliver',
    moneyMoved: 'yes',
    retry: 'same',
    message: ({ url, transaction }: { url: string; transaction: string }) =>
      `${url} was paid (transaction ${transaction}) and what was bought did not arrive. Ask for it again with client.resume(error), which pays nothing more.`,
  },
  'client/nothing-to-resume': {
    ...unpaid,
    status: 400,
    phase: 'submit',
    message: () =>
      'resume takes an error or a response of this client whose payment was sent and not settled, while this process lives. This is none; nothing was sent.',
  },
})

function describe({ scheme, network, amount, asset, why }: LeftOut): string {
  return `${scheme} on ${network}, ${amount} of ${asset}: ${why}`
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
