import type { ServerScheme } from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { system } from '../chain/programs.ts'
import { type VoucherServerOptions, voucherSeller } from '../vouchers/server.ts'
import { nonceBooks } from './receiver/books.ts'
import { railOf } from './receiver/rail.ts'
import { nonceRunner } from './receiver/runner.ts'
import { nonceReason, nonceScheme } from './wire.ts'

/**
 * What being paid over channels of nonces takes. Within `freshFor` a payer may revoke at any time, and what he was served since it was last
 * settled is lost then.
 */
export type NonceVoucherServerOptions = VoucherServerOptions

/**
 * Is paid for streams over channels of nonces on Solana (FS/1 §12.3), with native programs alone: a tick costs one signature check, and
 * what was delivered is settled by the facilitator, who is the nonces' authority. It carries streams and no one-shot payments.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-rpc-url`, `config/bad-price` at creation; `config/wrong-chain`, `config/no-token`,
 * `config/mint-mismatch`, `config/no-token-account` and `solana/rpc` from `start`; `config/no-nonce-authority` from `requirements`;
 * `solana/channel-behind`, `solana/rpc`, `solana/call-failed` from its rail.
 */
export function nonceVoucherServer(options: NonceVoucherServerOptions): ServerScheme {
  const { sells, network, asset, rpc, store, policy, ed25519, freshFor, clock } = voucherSeller(options)
  const { decimals } = asset
  const books = nonceBooks({ store: store.channels, rpc, network, decimals, clock })
  return sells({
    scheme: nonceScheme,
    refusal: { reason: nonceReason('payload_type'), message: 'Channels of nonces carry streams alone.' },
    rail: railOf({ books, network, decimals, ed25519, freshFor, clock }),
    runner: (given) => nonceRunner({ ...given, books, store, network, asset, policy, clock }),
    extra({ kind }) {
      const nonceAuthority = kind === undefined ? system.address : kind.extra?.nonceAuthority
      if (typeof nonceAuthority !== 'string' || !isAddress(nonceAuthority)) throw solanaErrors('config/no-nonce-authority', { network })
      return { nonceAuthority }
    },
  })
}
