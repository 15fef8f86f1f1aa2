import { defineErrors } from '@flow402x/core'

const usage = { status: 400, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const

/** The errors of the command itself. */
export const cliErrors = defineErrors({
  'cli/unknown-command': {
    ...usage,
    message: ({ command }: { command: string }) => `There is no command "${command}". Run "flow402x --help" for the list.`,
  },
  'cli/usage': { ...usage, message: ({ why, usage: form }: { why: string; usage: string }) => `${why}\nUsage: ${form}` },
  'cli/no-key': {
    ...usage,
    message: ({ variables }: { variables: readonly string[] }) =>
      `No key to pay with: set ${variables.join(' or ')} to a private key, or the same name with _FILE to a file that holds one. Keys are never taken from the command line.`,
  },
  'cli/unreachable': {
    ...usage,
    status: 502,
    message: ({ url, why }: { url: string; why: string }) => `${url} could not be reached: ${why}. Nothing was signed and no money moved.`,
  },
  'cli/no-wallet-file': {
    ...usage,
    message: ({ variable }: { variable: string }) =>
      `There is no place for the books of a wallet: set ${variable} to a file on a local disk, or HOME to a directory.`,
  },
  'cli/no-such-channel': {
    ...usage,
    message: ({ name, found }: { name: string; found: number }) =>
      `"${name}" names ${found === 0 ? 'no channel' : `${found} channels`} of this wallet: give four or more of the letters that "flow402x channels list" shows.`,
  },
  'cli/no-rpc': {
    ...usage,
    message: ({ variable, network }: { variable: string; network: string }) =>
      `No way to ask ${network}: set ${variable} to the URL of a node's JSON-RPC.`,
  },
  'cli/one-solana': {
    ...usage,
    message: ({ networks }: { networks: string }) => `A local world has one Solana, not several (${networks}).`,
  },
  'cli/open-key-file': {
    ...usage,
    message: ({ file }: { file: string }) => `The key file ${file} can be read by others. Run "chmod 600 ${file}" and try again.`,
  },
  'cli/unreadable-file': { ...usage, message: ({ file, why }: { file: string; why: string }) => `${file} could not be read: ${why}.` },
  'cli/file-exists': {
    ...usage,
    message: ({ file }: { file: string }) =>
      `${file} is there already, and no key is ever written over another. Name another file with --out.`,
  },
  'cli/unwritable-file': { ...usage, message: ({ file, why }: { file: string; why: string }) => `${file} could not be written: ${why}.` },
  'cli/bad-keystore': {
    ...usage,
    message: ({ file }: { file: string }) =>
      `${file} is no key file that can be opened here: it must be of Web3 Secret Storage, version 3, with scrypt or pbkdf2 and aes-128-ctr, of a key of this family.`,
  },
  'cli/wrong-passphrase': {
    ...usage,
    message: ({ file }: { file: string }) => `This is not the passphrase of ${file}. Nothing was opened.`,
  },
  'cli/passphrases-differ': {
    ...usage,
    message: (_: Record<never, never>) => 'The two passphrases were not the same. No key was made.',
  },
  'cli/no-passphrase': {
    ...usage,
    message: ({ variable }: { variable: string }) =>
      `No passphrase: set ${variable}, or ${variable}_FILE to a file that holds it, or run this in a terminal. Passphrases are never taken from the command line.`,
  },
  'cli/no-family': {
    ...usage,
    message: ({ network }: { network: string }) =>
      `No wallet of this command has keys for ${network}: it knows EVM networks and those of Solana.`,
  },
  'cli/unconfirmed': {
    ...usage,
    message: (_: Record<never, never>) => 'Nobody said yes, so nothing was sent. Give --yes where nobody can be asked.',
  },
  'cli/no-faucet': {
    ...usage,
    message: ({ network, why }: { network: string; why: string }) => `Nothing was funded on ${network}: ${why}.`,
  },
  'cli/no-testing': {
    ...usage,
    message: (_: Record<never, never>) =>
      'Local chains come with @flow402x/testing, which is not installed. Run "npm install -D @flow402x/testing".',
  },
  'cli/port-taken': {
    ...usage,
    message: ({ port }: { port: number }) => `Port ${port} is taken. Choose another, or leave it out for a free one.`,
  },
})
