import { defineErrors } from '../protocol/errors.ts'

const refused = { status: 400, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const open = { status: 503, phase: 'settle', moneyMoved: 'unknown', retry: 'same' } as const

/** The errors of token adapters: `token/…`. Each says whether money moved. */
export const tokenErrors = defineErrors({
  'token/bad-adapter': {
    ...refused,
    status: 500,
    message: ({ token, why }: { token: string; why: string }) => `The token adapter of ${token} cannot be used: ${why}.`,
  },
  'token/bad-answer': {
    ...open,
    status: 500,
    retry: 'never',
    message: ({ token, method, why }: { token: string; method: string; why: string }) =>
      `${method} of the token adapter of ${token} gave back ${why}. Whether money moved is unknown: look at the wallet before anything is paid again.`,
  },
  'token/bad-amount': {
    ...refused,
    message: ({ amount, why }: { amount: string; why: string }) => `"${amount}" was not paid: ${why}. Nothing was sent.`,
  },
  'token/bad-recipient': {
    ...refused,
    message: ({ recipient, why }: { recipient: string; why: string }) => `"${recipient}" was not paid: ${why}. Nothing was sent.`,
  },
  'token/no-signer': {
    ...refused,
    message: ({ token }: { token: string }) => `The adapter of ${token} has no signer, so that it can look and not pay: give it one.`,
  },
  'token/no-recipient': {
    ...refused,
    message: ({ token }: { token: string }) =>
      `Whom shall ${token} have been paid to? Name a recipient, or give the adapter a payTo or a signer. Nothing was looked at.`,
  },
  'token/insufficient': {
    ...refused,
    status: 402,
    message: ({ address, held, needed }: { address: string; held: string; needed: string }) =>
      `${address} holds ${held}, and ${needed} are needed. Nothing was sent.`,
  },
  'token/would-fail': {
    ...refused,
    status: 503,
    message: ({ why }: { why: string }) => `The transfer would fail: ${why}. Nothing was sent.`,
  },
  'token/reused': {
    ...refused,
    status: 409,
    message: ({ id }: { id: string }) =>
      `The payment "${id}" was made for another recipient or amount. This one was not: give each payment an id of its own.`,
  },
  'token/under-way': {
    ...open,
    status: 409,
    message: ({ id }: { id: string }) =>
      `The payment "${id}" is being made elsewhere, and this call sent nothing. Call again with the same id, which pays nothing more.`,
  },
  'token/pending': {
    ...open,
    message: ({ id, transaction }: { id: string; transaction: string }) =>
      `The payment "${id}" was sent in ${transaction} and is not mined yet: whether money moves is unknown. Call again with the same id, which pays nothing more.`,
  },
  'token/unconfirmed': {
    ...open,
    moneyMoved: 'yes',
    message: ({ transaction }: { transaction: string }) =>
      `${transaction} pays what is expected and does not lie deep enough yet. Validate it again later.`,
  },
  'token/failed': {
    ...open,
    moneyMoved: 'no',
    message: ({ id, transaction }: { id: string; transaction: string }) =>
      `The payment "${id}" failed on chain in ${transaction}: it moved nothing but the fee. Call again with the same id once that is final, to pay anew.`,
  },
  'token/expired': {
    ...open,
    moneyMoved: 'no',
    message: ({ id, transaction }: { id: string; transaction: string }) =>
      `The payment "${id}" in ${transaction} was not mined and cannot be any more: nothing moved. Call again to pay anew.`,
  },
})
