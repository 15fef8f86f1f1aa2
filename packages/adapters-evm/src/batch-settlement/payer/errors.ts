import { defineErrors } from '@flow402x/core'

const unsigned = { status: 402, phase: 'sign', moneyMoved: 'no', retry: 'never' } as const

/** The errors of who pays over channels. Amounts in atomic units. */
export const channelErrors = defineErrors({
  'evm/deposit-cap': {
    ...unsigned,
    message: ({ receiver, needed, room, cap, all }: { receiver: string; needed: string; room: string; cap: string; all: string }) =>
      `Nothing was signed: a channel to ${receiver} needs ${needed} more in it, and the caps (${cap} with one seller, ${all} with all) leave room for ${room}. Close channels that are no longer used ("flow402x channels close"), or raise the cap.`,
  },
  'evm/no-exit': {
    ...unsigned,
    message: ({ address, network, held, needed }: { address: string; network: string; held: bigint; needed: bigint }) =>
      `Nothing was deposited: ${address} has ${held} wei on ${network}, and to take a deposit out again without the seller's help it needs about ${needed}. Send it some, or set allowStuckDeposits.`,
  },
  'evm/channel-disagrees': {
    status: 402,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'never',
    message: ({ channelId, why }: { channelId: string; why: string }) =>
      `The seller and these books disagree about channel ${channelId}: ${why}. Nothing more was signed; what is in the channel can be taken out with "flow402x channels close".`,
  },
  'evm/channel-busy': {
    ...unsigned,
    status: 503,
    retry: 'same',
    message: ({ channelId }: { channelId: string }) =>
      `Other calls of this wallet still use channel ${channelId}, whose seller takes one at a time or waits for a deposit. Nothing was signed; call again.`,
  },
  'evm/wallet-short': {
    ...unsigned,
    retry: 'resign',
    message: ({ receiver, needed, held }: { receiver: string; needed: bigint; held: bigint }) =>
      `Nothing was signed: a channel to ${receiver} needs ${needed} more units in it, and the wallet holds ${held}. Fill the wallet, and go on.`,
  },
  'evm/channel-empty': {
    ...unsigned,
    retry: 'resign',
    message: ({ channelId }: { channelId: string }) =>
      `Nothing more was signed: channel ${channelId} holds no more than was signed already. Bring a deposit, and go on.`,
  },
  'evm/channel-closing': {
    ...unsigned,
    status: 409,
    message: ({ channelId }: { channelId: string }) =>
      `Nothing was signed: channel ${channelId} is being left, by a withdrawal of its payer. Finish that with "flow402x channels withdraw", then pay again.`,
  },
  'evm/no-channel': {
    ...unsigned,
    status: 404,
    phase: 'quote',
    message: ({ channelId }: { channelId: string }) => `There is no channel ${channelId} in these books.`,
  },
  'evm/not-withdrawable': {
    ...unsigned,
    status: 409,
    phase: 'submit',
    message: ({ channelId, why }: { channelId: string; why: string }) => `Nothing was taken out of channel ${channelId}: ${why}.`,
  },
  'evm/not-mined': {
    status: 503,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ transaction, network }: { transaction: string; network: string }) =>
      `Transaction ${transaction} was sent on ${network} and is not mined yet. Look at the channel again later.`,
  },
})
