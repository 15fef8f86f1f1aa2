import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const transferDead = { status: 502, phase: 'submit', moneyMoved: 'no', retry: 'resign' } as const
const chainDown = { status: 503, phase: 'settle', moneyMoved: 'no', retry: 'same' } as const

/** The errors of Solana adapters: `config/…` for the developer at start, `solana/…` when signing or the chain fails. No key and no full RPC URL ever stands in one. */
export const solanaErrors = defineErrors({
  'config/bad-secret-key': {
    ...atStart,
    message: () =>
      'This is no Solana secret key: give its 64 bytes in base58 or as a JSON array, or a seed of 32 bytes. (The value is not shown here on purpose.)',
  },
  'config/bad-address': {
    ...atStart,
    message: ({ option, address }: { option: string; address: string }) =>
      `${option} is "${address}", which is no Solana address: give 32 bytes in base58.`,
  },
  'config/bad-rpc-url': {
    ...atStart,
    message: () => 'rpcUrl is no http or https URL. (The value is not shown here on purpose: it may hold a key.)',
  },
  'config/not-solana': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `${network} is no Solana network: its id must be "solana:" and the start of a genesis hash, such as "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".`,
  },
  'config/not-a-token': {
    ...atStart,
    message: ({ network, asset }: { network: string; asset: string }) =>
      `${asset} on ${network} is no token of Solana: give one with transfer "spl-token" or "token-2022".`,
  },
  'config/foreign-asset': {
    ...atStart,
    message: ({ asset, network, wanted }: { asset: string; network: string; wanted: string }) =>
      `${asset} stands on ${network}, but it was given for ${wanted}.`,
  },
  'config/no-signer': {
    ...atStart,
    message: ({ why }: { why: string }) => `No usable signer: ${why}.`,
  },
  'config/unsafe-local-key': {
    ...atStart,
    message: ({ network, address }: { network: string; address: string }) =>
      `The RPC is on this machine, but ${network} is no test network: what ${address} signs here would be valid on the real chain. Use a published development key, a test network such as solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1, or a public RPC.`,
  },
  'config/wrong-chain': {
    ...atStart,
    message: ({ network, host, answered }: { network: string; host: string; answered: string }) =>
      `The RPC at ${host} serves ${answered}, not ${network}: correct the network or the RPC URL.`,
  },
  'config/mint-mismatch': {
    ...atStart,
    message: ({ asset, network, why }: { asset: string; network: string; why: string }) =>
      `The mint ${asset} on ${network} is not as it is known here: ${why}. Payments in it would never settle.`,
  },
  'config/no-token': {
    ...atStart,
    message: ({ network, tokens }: { network: string; tokens: string }) =>
      `On ${network} no token that can be served stands at ${tokens}: check the RPC URL and the assets given.`,
  },
  'config/no-token-account': {
    ...atStart,
    message: ({ network, payTo, asset, account, why }: { network: string; payTo: string; asset: string; account: string; why: string }) =>
      `${payTo} cannot be paid in ${asset} on ${network}: its token account ${account} ${why}. \`flow402x wallet init-accounts --network ${network} --owner ${payTo}\` creates it.`,
  },
  'config/bad-owner': {
    ...atStart,
    message: ({ owner }: { owner: string }) =>
      `${owner} is a token account, a mint or a program, not a wallet: name the wallet that owns the account. Nothing was sent.`,
  },
  'config/unchecked-payee': {
    ...atStart,
    message: ({ network, payTo }: { network: string; payTo: string }) =>
      `A route on ${network} names the payee ${payTo}, whose token account nobody has checked: add it to \`payees\` of the scheme.`,
  },
  'config/no-fee-payer': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `The facilitator names no fee payer for ${network} (extra.feePayer of /supported), so nobody could pay there.`,
  },
  'config/no-nonce-authority': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `The facilitator names no nonceAuthority for flow402x-nonce on ${network} (extra of /supported): give it nonceVoucherFacilitator.`,
  },
  'config/bad-memo': {
    ...atStart,
    message: ({ most }: { most: number }) => `memo is longer than ${most} bytes of UTF-8, the most that x402 allows.`,
  },
  'solana/unsupported-terms': {
    status: 402,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ why }: { why: string }) => `These terms were not signed: ${why}.`,
  },
  'solana/bad-signature': {
    status: 500,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ address }: { address: string }) => `The signer of ${address} gave back something that is no signature of the message.`,
  },
  'solana/altered': {
    status: 500,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ address, why }: { address: string; why: string }) =>
      `The wallet of ${address} signed another transaction than it was given, and it was not sent: ${why}.`,
  },
  'solana/no-sol': {
    ...chainDown,
    retry: 'never',
    message: ({ address, network, held, needed }: { address: string; network: string; held: bigint; needed: bigint }) =>
      `${address} holds ${held} lamports on ${network}, and ${needed} are needed: send it SOL and try again. Nothing was sent.`,
  },
  'solana/not-opened': {
    ...chainDown,
    message: ({ account, why }: { account: string; why: string }) => `The token account ${account} was not opened: ${why}.`,
  },
  'solana/rpc': {
    ...chainDown,
    message: ({ host, method, why }: { host: string; method: string; why: string }) =>
      `The RPC at ${host} did not answer ${method}: ${why}.`,
  },
  'solana/call-failed': {
    ...chainDown,
    message: ({ host, method, why }: { host: string; method: string; why: string; code?: number; reason?: string }) =>
      `The RPC at ${host} refused ${method}: ${why}.`,
  },
  'solana/refused': {
    ...chainDown,
    message: ({ host, transaction, why }: { host: string; transaction: string; why: string }) =>
      `The node at ${host} did not take transaction ${transaction}: ${why}.`,
  },
  'solana/broadcast-unknown': {
    status: 503,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ host, transaction }: { host: string; transaction: string }) =>
      `It is not known whether the node at ${host} took transaction ${transaction}: ask for its status, or send the same bytes again.`,
  },
  'solana/transfer-failed': {
    ...transferDead,
    message: ({ transaction, why }: { transaction: string; why: string }) =>
      `The transfer ${transaction} moved nothing and never will: ${why}. It may be made anew.`,
  },
  'solana/transfer-refused': {
    ...transferDead,
    message: ({ why }: { why: string }) => `The transfer would fail, so it was neither signed nor sent: ${why}.`,
  },
  'solana/transfer-unknown': {
    ...transferDead,
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ transaction }: { transaction: string }) =>
      `Nobody knows yet whether the transfer ${transaction} will be mined. It was written down: resume the call, and do not pay again.`,
  },
  'solana/unknown-signer': {
    ...chainDown,
    retry: 'never',
    message: ({ address }: { address: string }) => `${address} is none of this chain's signers.`,
  },
  'solana/unsafe-transaction': {
    ...chainDown,
    retry: 'never',
    message: ({ why }: { why: string }) => `The transaction was not signed, for ${why}.`,
  },
  'solana/not-sponsored': {
    status: 403,
    phase: 'settle',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ owner, why }: { owner: string; why: string }) => `The token account of ${owner} was not opened: ${why}.`,
  },
  'solana/not-settleable': {
    ...chainDown,
    retry: 'never',
    message: ({ reason }: { reason: string }) => `This payment has no settlement (${reason}): verify it first.`,
  },
  'solana/channel-busy': {
    ...chainDown,
    message: ({ channel }: { channel: string }) =>
      `Too much is under way over channel ${channel}, or another process is filling it: try again in a moment. Nothing was signed.`,
  },
  'solana/not-filled': {
    ...chainDown,
    message: ({ channel, why }: { channel: string; why: string }) => `Channel ${channel} was not opened, filled or closed: ${why}.`,
  },
  'solana/deposit-cap': {
    status: 402,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ need, cap, locked }: { need: bigint; cap: bigint; locked: bigint }) =>
      `${need} more would have to be put into a channel that holds ${locked} unspent, and maxDeposit is ${cap} (atomic units). Nothing was sent.`,
  },
  'solana/channel-behind': {
    ...chainDown,
    message: ({ host, channel }: { host: string; channel: string }) =>
      `The node at ${host} does not show yet what advanced the nonce of channel ${channel}: nothing is signed or taken over it until it does.`,
  },
  'solana/not-replaceable': {
    ...chainDown,
    retry: 'never',
    message: () => 'A transaction of Solana is sent again as it is until it is mined or expired; nothing takes its place.',
  },
})
