import { defineErrors } from '@flow402x/core'
import { payerTable } from '../crypto/errors.ts'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const transferDead = { status: 502, phase: 'submit', moneyMoved: 'no', retry: 'resign' } as const
const chainDown = { status: 503, phase: 'settle', moneyMoved: 'no', retry: 'same' } as const

/** What an owner of tokens must approve first; amounts in atomic units. */
type Approval = { network: string; asset: string; spender: string; owner: string; needed: bigint; allowed: bigint }

/** The errors of EVM adapters: `config/…` for the developer at start, `evm/…` when signing or the chain fails. No key and no full RPC URL ever stands in one. */
export const evmErrors = defineErrors({
  ...payerTable,
  'config/bad-rpc-url': {
    ...atStart,
    message: () => 'rpcUrl is no http or https URL. (The value is not shown here on purpose: it may hold a key.)',
  },
  'config/no-authorizations': {
    ...atStart,
    message: ({ network, asset }: { network: string; asset: string }) =>
      `${asset} on ${network} cannot be paid so: give a token with transfer "eip3009" and its eip712 name and version, or with transfer "permit2".`,
  },
  'config/foreign-asset': {
    ...atStart,
    message: ({ asset, network, wanted }: { asset: string; network: string; wanted: string }) =>
      `${asset} stands on ${network}, but it was given for ${wanted}.`,
  },
  'config/unsafe-local-key': {
    ...atStart,
    message: ({ network, address }: { network: string; address: string }) =>
      `The RPC is on this machine, but ${network} is no test network: what ${address} signs here would be valid on the real chain. Use a published development key, a test network such as eip155:84532, or a public RPC.`,
  },
  'config/wrong-chain': {
    ...atStart,
    message: ({ network, host, answered }: { network: string; host: string; answered: string }) =>
      `The RPC at ${host} serves chain ${answered}, not ${network}: correct the network or the RPC URL.`,
  },
  'config/no-multicall': {
    ...atStart,
    message: ({ network, address }: { network: string; address: string }) =>
      `${network} has no Multicall3 at ${address}, which verifying needs: deploy it there.`,
  },
  'config/no-proxy': {
    ...atStart,
    message: ({ network, scheme, address }: { network: string; scheme: string; address: string }) =>
      `${network} has no proxy of Permit2 for ${scheme} at ${address}, through which its payments go: offer it on another network.`,
  },
  'config/no-escrow': {
    ...atStart,
    message: ({ network, address }: { network: string; address: string }) =>
      `${network} has no contract at ${address} that brings deposits into the escrow of channels: offer batch-settlement on another network.`,
  },
  'config/domain-mismatch': {
    ...atStart,
    message: ({ asset, network, expected, actual }: { asset: string; network: string; expected: string; actual: string }) =>
      `The EIP-712 name and version known for ${asset} on ${network} give the domain ${expected}, but the token itself says ${actual}: payments signed in it would never settle.`,
  },
  'config/no-token': {
    ...atStart,
    message: ({ network, tokens }: { network: string; tokens: string }) =>
      `On ${network} no token answers at ${tokens || 'any known address'}: check the RPC URL and the assets given.`,
  },
  'config/no-channel-chain': {
    ...atStart,
    message: () => 'Channels are read from the chain: give batchSettlementServer an rpcUrl, or a chain.',
  },
  'config/bad-withdraw-delay': {
    ...atStart,
    message: ({ seconds }: { seconds: number }) => `withdrawDelay is ${seconds}; the escrow takes whole seconds from 900 to 2592000.`,
  },
  'config/no-authorizer': {
    ...atStart,
    message: () =>
      'Nobody could claim what channels owe: the facilitator names no receiverAuthorizer of its own, so give batchSettlementServer an authorizer that signs.',
  },
  'evm/approval-required': {
    status: 402,
    phase: 'sign',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ network, asset, spender, owner, needed, allowed }: Approval) =>
      `Nothing was signed: ${owner} must first approve Permit2 at ${spender} for ${needed} of ${asset} on ${network}, and has approved ${allowed}.`,
  },
  'evm/bad-usage': {
    status: 500,
    phase: 'settle',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ used, ceiling }: { used: string; ceiling: string }) =>
      `A handler said that "${used}" was used of a ceiling of ${ceiling} atomic units, so nothing was settled: say at most that, in atomic units, as "$0.01" or as "12.5%".`,
  },
  'evm/rpc': {
    ...chainDown,
    message: ({ host, method, why }: { host: string; method: string; why: string }) =>
      `The RPC at ${host} did not answer ${method}: ${why}.`,
  },
  'evm/call-failed': {
    ...chainDown,
    message: ({ host, method, why }: { host: string; method: string; why: string }) => `The RPC at ${host} refused ${method}: ${why}.`,
  },
  'evm/refused': {
    ...chainDown,
    message: ({ host, transaction, why }: { host: string; transaction: string; why: string }) =>
      `The node at ${host} did not take transaction ${transaction}: ${why}.`,
  },
  'evm/broadcast-unknown': {
    status: 503,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ host, transaction }: { host: string; transaction: string }) =>
      `It is not known whether the node at ${host} took transaction ${transaction}: ask for its status, or send the same bytes again.`,
  },
  'evm/would-revert': {
    ...chainDown,
    retry: 'never',
    message: ({ target, why }: { target: string; why: string }) => `A call to ${target} would revert, so it was not sent: ${why}.`,
  },
  'evm/gas-cap': {
    ...chainDown,
    retry: 'never',
    message: ({ gas, cap }: { gas: bigint; cap: bigint }) =>
      `The call needs ${gas} gas, more than the ${cap} of maxGasPerPayment, so it was not sent.`,
  },
  'evm/fee-cap': {
    ...chainDown,
    message: ({ fee, cap }: { fee: bigint; cap: bigint }) =>
      `The network asks ${fee} wei per gas, more than the maxFeePerGas of ${cap}, so nothing was sent. Try again later or raise it.`,
  },
  'evm/gas-budget': {
    ...chainDown,
    message: ({ payer, network, left }: { payer: string; network: string; left: bigint }) =>
      `Nothing was sent: of the gas that deposits and refunds of ${payer} may use on ${network} today ${left} is left. Try again tomorrow, or raise gasBudget.`,
  },
  'evm/no-gas-money': {
    ...chainDown,
    message: ({ address }: { address: string }) =>
      `${address} has too little of the network's coin to pay the gas, so nothing was sent: send it some.`,
  },
  'evm/transfer-failed': {
    ...transferDead,
    message: ({ transaction, why }: { transaction: string; why: string }) =>
      `The transfer ${transaction} moved nothing and never will: ${why}. It may be made anew.`,
  },
  'evm/transfer-unknown': {
    ...transferDead,
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ transaction }: { transaction: string }) =>
      `Nobody knows yet whether the transfer ${transaction} will be mined, or how deep. It was written down: resume the call, and do not pay again.`,
  },
  'evm/no-chain': {
    ...chainDown,
    retry: 'never',
    message: ({ network }: { network: string }) => `There is no connection to ${network}: give its evmChain among the chains.`,
  },
  'evm/unknown-signer': {
    ...chainDown,
    retry: 'never',
    message: ({ address }: { address: string }) => `${address} is none of this chain's signers.`,
  },
  'evm/not-settleable': {
    ...chainDown,
    retry: 'never',
    message: ({ reason }: { reason: string }) => `This payment has no settlement (${reason}): verify it first.`,
  },
  'evm/nothing-to-send': {
    ...chainDown,
    retry: 'never',
    message: () => 'A transaction needs at least one call.',
  },
  'evm/value-in-batch': {
    ...chainDown,
    retry: 'never',
    message: () => "A call that carries the network's coin is a transaction by itself: send it alone.",
  },
})
