import { isLoopback, networkFacts } from '@flow402x/core'
import { solanaErrors } from '../chain/errors.ts'
import { parseRpcUrl } from '../chain/rpc.ts'

// The accounts m/44'/501'/i'/0' of the mnemonic "test test test test test test test test test test test junk", whose keys everybody has.
const published = new Set([
  'oeYf6KAJkLYhBuR8CiGc6L4D4Xtfepr85fuDgA9kq96',
  'AqynRZwvVqUPRwRJXvm6odUb3t93fDjnWe3p6BeuUFxD',
  'CqMbRgMuEhQi9BUS8xP44Wk5nENm48FqJnfjEi4eNb1k',
  '9Tj3srBSxH7RFRCm8uharreY7ZBS49XSfpwCeYa7Xaqp',
  '6gYw7q94fJdEwL8WkT1a6LHBdTMbix1aciALwEWPx3Wp',
  '7EeV8eiRuGoR8bFHCjdCRGQd1RM5sR2dAkdiTEtC9ko7',
  'F9fVg2LeE2RhM6CfNn888hbjqovZDEWY3vm2hEkvX3Nh',
  '26roUwgM5T6bccX41hakjiW4fDiKFSao1RyoFsAxr6e6',
  '5mCGtMUD21HEvWJxKGKS6HEAH7ezzy12MWGs4bPgcJwV',
  '2yaW8VAMLhQiornz1BgcSWDUSH2jC2dmB8RWnTJi8Yab',
])

/**
 * Refuses a real key on a local chain that bears a real network's id: what it signs there is valid on the real one (DESIGN §7).
 *
 * Errors: `config/unsafe-local-key`, `config/bad-rpc-url`.
 */
export function assertSafeSigners({ network, rpcUrl, signers }: { network: string; rpcUrl: string; signers: readonly string[] }): void {
  if (networkFacts(network)?.testnet === true || !isLoopback(parseRpcUrl(rpcUrl).href)) return
  const real = signers.find((address) => !published.has(address))
  if (real !== undefined) throw solanaErrors('config/unsafe-local-key', { network, address: real })
}
