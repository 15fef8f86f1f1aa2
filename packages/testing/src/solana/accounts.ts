import { type Address, address } from '@solana/kit'
import type { Role } from '../chains/accounts.ts'

/** A published development account of Solana: its key is known to everyone and must never hold real money. */
export type SolanaDevelopmentAccount = {
  readonly role: Role
  readonly address: Address
  /** 64 bytes in base58, seed and public key, as wallets export and import it. */
  readonly privateKey: string
}

/** Mints the tokens of a local chain; has SOL and no token account. */
export const solanaOwner = account(
  'owner',
  'oeYf6KAJkLYhBuR8CiGc6L4D4Xtfepr85fuDgA9kq96',
  '4Cfc4TJ6dsWwLcw8aJ5uhx7UJKPR5VGXTu2iJr5bVRoTDsxzb6qfJrzR5HNhBcwGwsXqGeHzDR3eUWLr7MRnska8',
)

/** Pays the fees of settlements; has SOL and no token account. */
export const solanaFacilitator = account(
  'facilitator',
  'AqynRZwvVqUPRwRJXvm6odUb3t93fDjnWe3p6BeuUFxD',
  '2GE2EWZwKFkMpDFKaN6LYVggqLJTdwkreHLNbXBKbtfnCBqkbtNhM4cEymyi5HZD2dX6rmh2VzE4waW7pbUUgXF7',
)

/** Is paid; starts with an empty USDC account. */
export const solanaSeller = account(
  'seller',
  'CqMbRgMuEhQi9BUS8xP44Wk5nENm48FqJnfjEi4eNb1k',
  '3rSg4wp38McUCkhe511k98mKhsSYxCw4mrvytNLULVvsPDFmaxC4XSyAPT54Tx3QqJmBbXoPsdbVAYqynzZR1K2i',
)

/** Pays; starts with USDC, as the six spare buyers of `solanaDevelopmentAccounts` do. */
export const solanaBuyer = account(
  'buyer',
  '9Tj3srBSxH7RFRCm8uharreY7ZBS49XSfpwCeYa7Xaqp',
  '5uXAKT5i9KNt3LwCGAqUXYgtyhvGcUGm1CvPtPAyVy2geBftjuZ2mcV6oQQs7BMTNsNHS3hffaM1TJqsNEEQgAE6',
)

const spares = [
  [
    '6gYw7q94fJdEwL8WkT1a6LHBdTMbix1aciALwEWPx3Wp',
    '2FhULCkfNPpQsTeMebSdix4QhhcVgG4Fu7HYYB6pwkGEFar8FUacee4WmqtXFMyvx3GrKGYgXXBJX9Z6G5Dv1hBn',
  ],
  [
    '7EeV8eiRuGoR8bFHCjdCRGQd1RM5sR2dAkdiTEtC9ko7',
    'hURca1bpFc3Grtne1KsotwTabDmtNdskVWE6wbVzJDNFkKkzDXFTFEU3CszYigWd42cq9TQ2a1mrtRPEb5TUsAd',
  ],
  [
    'F9fVg2LeE2RhM6CfNn888hbjqovZDEWY3vm2hEkvX3Nh',
    '3yt2ZgpQRjz2pXrD3qez8xkuC9oA5gQ1KmJAVy79xYADgoS4F8XsavEWDqryukrdc7Z3Xk78sSFx5Svnd4hTJopm',
  ],
  [
    '26roUwgM5T6bccX41hakjiW4fDiKFSao1RyoFsAxr6e6',
    '29efn8AUKWNmmyQjWEZebh8CzA9663awdcmPfSVwRsHq5tQeQkCgFXgdLX821XGmQYnub65qR48hhWqkL59Ac4iN',
  ],
  [
    '5mCGtMUD21HEvWJxKGKS6HEAH7ezzy12MWGs4bPgcJwV',
    '4rYyAiSkKMKQ3PexSUkzdxTvuVHv33a49c8VVrWLB3xRSeAXFf8fiwvbNy5LEQ6wCpc6ZeBfnvroVv6fVsT9UcP5',
  ],
  [
    '2yaW8VAMLhQiornz1BgcSWDUSH2jC2dmB8RWnTJi8Yab',
    '5uYLMzbkZ7DCxH9gsSxi4UoMbA4YDw3vxwSgnAbDA8jvTY1YY9jGKJsx8dQTtc9yJstkeLVCAcTUZtALZyA4svvj',
  ],
] as const

/**
 * The first ten accounts of the mnemonic `test test test test test test test test test test test junk`, by the path
 * `m/44'/501'/i'/0'` that Solana wallets use.
 */
export const solanaDevelopmentAccounts: readonly SolanaDevelopmentAccount[] = [
  solanaOwner,
  solanaFacilitator,
  solanaSeller,
  solanaBuyer,
  ...spares.map(([address, privateKey]) => account('buyer', address, privateKey)),
]

/** Whether a private key, in base58, is one of the published development keys of Solana. */
export function isSolanaDevelopmentKey(privateKey: string): boolean {
  return solanaDevelopmentAccounts.some((one) => one.privateKey === privateKey)
}

function account(role: Role, text: string, privateKey: string): SolanaDevelopmentAccount {
  return { role, address: address(text), privateKey }
}
