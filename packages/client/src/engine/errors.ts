import { defineErrors, findAsset, formatAmount, type Payee, sameAddress } from '@flow402x/core'

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
  'client/origin-suspended': {
    ...unsigned,
    status: 503,
    message: ({ origin, failures, until }: { origin: string; failures: number; until: string }) =>
      `The last ${failures} payments to ${origin} bought nothing, so none is signed for it until ${until}. Nothing was signed and no money moved now; what those payments hold of the budget is freed or spent as the chain has it.`,
  },
  'client/payee-changed': {
    ...unsigned,
    retry: 'never',
    message: ({ url, payTo, asset, was }: { url: string; payTo: string; asset: string; was: Payee }) =>
      `${url} asks to be paid at ${payTo} in ${asset}; until now its origin was paid at ${was.payTo} in ${was.asset}. Nothing was signed and no money moved. If the seller told you of the change, let approvePayee answer true; if its payees differ with every request, name its origin in dynamicPayees.`,
  },
  'client/call-reused': {
    ...unsigned,
    retry: 'never',
    message: ({ url, callId }: { url: string; callId: string }) =>
      `The callId "${callId}" belongs to another request than this one of ${url}. Nothing was signed and no money moved; give each thing you buy a callId of its own.`,
  },
  'client/call-under-way': {
    ...unsigned,
    status: 409,
    retry: 'same',
    message: ({ url, callId }: { url: string; callId: string }) =>
      `The call "${callId}" of ${url} is being signed elsewhere. This one signed and sent nothing; call again with the same callId, which then sends that payment.`,
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
      `The payment was sent to ${url} ${attempts} times without an answer. Whether money moved is unknown, so its amount stays reserved. Send the same payment again with client.resume(error); a new call would pay anew, one with the same callId would not.`,
  },
  'client/settle-pending': {
    ...unknown,
    status: 503,
    message: ({ url, status, transaction }: { url: string; status: number; transaction: string }) =>
      `${url} has the payment and has not finished with it (status ${status}${transaction === '' ? '' : `, transaction ${transaction}`}). Its amount stays reserved. Send the same payment again with client.resume(error); a new call would pay anew, one with the same callId would not.`,
  },
  'client/cannot-transfer': {
    ...unknown,
    status: 501,
    retry: 'same',
    message: ({ url, scheme, network }: { url: string; scheme: string; network: string }) =>
      `The payment for ${url} was prepared by ${scheme} on ${network}, which this client has not: resume it with a client that has. It may have been sent, and nothing else was signed.`,
  },
  'client/cannot-cancel': {
    ...unknown,
    status: 501,
    retry: 'never',
    message: ({ scheme, network }: { scheme: string; network: string }) =>
      `A payment by ${scheme} on ${network} cannot be cancelled by this client: its scheme was given no way to the chain. It can be spent until it is dead, so its amount stays reserved.`,
  },
  'client/cancel-failed': {
    ...unknown,
    status: 503,
    message: ({ url, deadAfter }: { url: string; deadAfter: number }) =>
      `It is not proved that the payment for ${url} was cancelled. It can be spent until ${time(deadAfter)}, so its amount stays reserved. Cancel it again, or wait.`,
  },
  'client/already-spent': {
    status: 409,
    phase: 'settle',
    moneyMoved: 'yes',
    retry: 'same',
    message: ({ url, transaction }: { url: string; transaction: string }) =>
      `The payment for ${url} was spent before it could be cancelled (transaction ${transaction}). Ask for what was bought with the same payment, which pays nothing more.`,
  },
  'client/nothing-to-cancel': {
    ...unpaid,
    status: 400,
    phase: 'submit',
    message: () => 'cancel takes what resume takes, or { callId } of a call whose payment was signed. This is none; nothing was sent.',
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
  const known = findAsset(network, asset)
  // A symbol is no address, and what a seller wrote may be no number.
  const isClear = known !== undefined && sameAddress(known.address, asset) && /^\d+$/.test(amount)
  const price = isClear ? formatAmount(BigInt(amount), known) : `${amount} of ${asset}`
  return `${scheme} on ${network}, ${price}: ${why}`
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
