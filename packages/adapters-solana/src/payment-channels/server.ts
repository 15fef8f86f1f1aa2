import type { ServerScheme } from '@flow402x/core'
import { solanaChain } from '../chain/solana-chain.ts'
import { type SecretKey, type SolanaSender, senderOf } from '../crypto/signer.ts'
import { type VoucherServerOptions, voucherSeller } from '../vouchers/server.ts'
import { channelBooks, channelRail } from './receiver.ts'
import { programRunner } from './runner.ts'
import { channelsReason, channelsScheme } from './wire.ts'

/** What being paid over channels of the payment-channels program takes. */
export type ProgramChannelServerOptions = VoucherServerOptions & {
  /** Settles and ends channels, and pays the fees of that: it needs SOL and a token account, and gets no money. */
  readonly settler: SecretKey | SolanaSender
  /** Seconds that are left to settle once a payer wants to close: 900 unless told. Channels that leave less are not taken. */
  readonly withdrawDelay?: number
  /** The price of computing of its own transactions, in millionths of a lamport for each unit; 10,000 unless told. */
  readonly microLamports?: bigint
}

/**
 * Is paid for streams over channels of the payment-channels program on Solana (FS/1 §12.2): the deposit lies with the program, a tick costs one
 * signature check, and the seller settles himself, without a facilitator. It carries streams and no one-shot payments.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/unknown-asset`, `config/foreign-asset`, `config/not-a-token`,
 * `config/bad-address`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`, `config/bad-price` at creation;
 * `config/wrong-chain`, `config/no-token`, `config/mint-mismatch`, `config/no-token-account` and `solana/rpc` from `start`;
 * `solana/rpc`, `solana/call-failed` from its rail.
 */
export function programChannelServer(options: ProgramChannelServerOptions): ServerScheme {
  const { withdrawDelay = 900, microLamports = 10_000n } = options
  const { sells, network, asset, rpcUrl, rpc, store, payTo, policy, ed25519, freshFor, timeoutMs, fetch, clock } = voucherSeller(options)
  const sender = senderOf(options.settler)
  const caller = { chain: solanaChain({ network, rpcUrl, signers: [sender], fetch, timeoutMs }), rpc, sender, microLamports }
  const terms = { receiver: payTo, mint: asset.address, payee: sender.address, leastGrace: withdrawDelay }
  const books = channelBooks({ store: store.channels, rpc, network, terms, clock })
  const scheme = sells({
    scheme: channelsScheme,
    refusal: { reason: channelsReason('payload_type'), message: 'Channels of the program carry streams alone.' },
    rail: channelRail({ books, network, ed25519, freshFor, clock }),
    runner: ({ onEvent }) =>
      programRunner({ ...(onEvent && { onEvent }), books, store, caller, network, asset, receiver: payTo, policy, clock }),
    // The program asks for the account of who ends a channel as well, though nothing goes there.
    alsoPaid: [sender.address],
    extra: () => ({ payee: sender.address, withdrawDelay }),
  })
  return { ...scheme, settlesItself: true }
}
