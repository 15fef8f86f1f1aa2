import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** What a payer meets: a table of its own, so that a browser loads no words about nodes and gas. */
export const payerTable = {
  'config/bad-private-key': {
    ...atStart,
    message: () =>
      'This is no private key: give 0x and 64 hex digits that are a valid secp256k1 key. (The value is not shown here on purpose.)',
  },
  'config/bad-address': {
    ...atStart,
    message: ({ option, address }: { option: string; address: string }) =>
      `${option} is "${address}", which is no EVM address one can pay: give 0x and 40 hex digits, not all zero.`,
  },
  'config/not-evm': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `${network} is no EVM network: its id must be "eip155:" and a chain id, such as "eip155:8453".`,
  },
  'config/no-signer': {
    ...atStart,
    message: ({ why }: { why: string }) => `No usable signer: ${why}.`,
  },
  'evm/unsupported-terms': {
    status: 402,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ why }: { why: string }) => `These terms were not signed: ${why}.`,
  },
  'evm/bad-signature': {
    status: 500,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ address }: { address: string }) => `The signer of ${address} gave back something that is no signature.`,
  },
} as const

/** The errors of signing; `evmErrors` has these and all others. */
export const payerErrors = defineErrors(payerTable)
