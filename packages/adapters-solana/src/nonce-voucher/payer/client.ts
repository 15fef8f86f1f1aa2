import type { ClientScheme, PaymentRequirements } from '@flow402x/core'
import { isAddress } from '../../chain/address.ts'
import { senderOf } from '../../crypto/signer.ts'
import { callChannel } from '../../transfer/channel-call.ts'
import { type VoucherClientOptions, voucherDesk } from '../../vouchers/client.ts'
import { exactLanes, exactWindows } from '../../vouchers/payer.ts'
import { closingOf } from '../setup.ts'
import { nonceScheme } from '../wire.ts'
import { channelFor, givenSession, type NonceDesk, noncePayer, type Session, sessionOf, sync } from './desk.ts'

/** What paying over channels of nonces takes. Vouchers are signed by a key that comes back with `signer` unless `session` is given. */
export type NonceVoucherClientOptions = VoucherClientOptions

/** Pays over channels of nonces, and takes back what is left in one. */
export type NonceVoucherClient = ClientScheme & {
  /**
   * Ends the channel of an offer's receiver: nothing is taken out of it any more, and what is left comes back with the rent of its purse; the
   * signature of that transaction, or nothing where there is no such channel. What was delivered and not settled yet is not paid then: an
   * honest payer closes after his receiver has settled.
   */
  close(requirements: PaymentRequirements, options?: { readonly signal?: AbortSignal }): Promise<string | undefined>
}

/**
 * Pays streams over channels of nonces on Solana (FS/1 §12.3): one deposit into a purse of the payer's own, then vouchers that cost no
 * fee. Never more than one window beyond what was delivered is signed, and after each settlement nothing before the chain was read.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`,
 * `config/not-a-token`, `config/unknown-asset`, `config/bad-price` at creation; from its functions `solana/unsupported-terms`,
 * `solana/deposit-cap`, `solana/no-sol`, `solana/not-filled`, `solana/channel-busy`, `solana/channel-behind`, those of the chain and store.
 */
export function nonceVoucherClient(options: NonceVoucherClientOptions): NonceVoucherClient {
  const { network, fits, ...given } = voucherDesk(options)
  let session: Promise<Session> | undefined
  const desk: NonceDesk = {
    ...given,
    session() {
      session ??= options.session === undefined ? sessionOf(given.sender) : givenSession(senderOf(options.session))
      return session
    },
    decimals: given.asset.decimals,
  }
  const payer = noncePayer(desk)
  return {
    scheme: nonceScheme,
    networks: [network],
    supports: (offer) =>
      offer.scheme === nonceScheme &&
      fits(offer) &&
      typeof offer.extra?.nonceAuthority === 'string' &&
      isAddress(offer.extra.nonceAuthority),
    lanes: exactLanes(payer),
    ...exactWindows(payer),
    async close(requirements, { signal } = {}) {
      const channel = await channelFor(desk, requirements)
      const row = await sync(desk, channel, { signal })
      if (row === undefined) return undefined
      const amount = row.funds.balance - row.funds.claimed
      return await callChannel(desk, { id: row.id, instructions: closingOf(channel, { amount, decimals: desk.decimals }), signal })
    },
  }
}
