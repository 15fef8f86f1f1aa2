import type { ClientScheme, PaymentRequirements } from '@flow402x/core'
import * as z from 'zod/mini'
import { senderOf } from '../crypto/signer.ts'
import { callChannel } from '../transfer/channel-call.ts'
import { type VoucherClientOptions, voucherDesk } from '../vouchers/client.ts'
import { exactLanes, exactWindows } from '../vouchers/payer.ts'
import { type ChannelDesk, channelPayer, channelsFor } from './payer.ts'
import type { ChannelSeeds } from './program.ts'
import { leavingOf } from './settlement.ts'
import { channelExtra, channelsScheme } from './wire.ts'

/** What paying over channels of the payment-channels program takes. Vouchers are signed by `signer` itself unless `session` is given. */
export type ProgramChannelClientOptions = VoucherClientOptions & {
  /** Channels of this wallet that are not in its books: opened before those began, or by another tool. */
  readonly channels?: readonly ChannelSeeds[]
}

/** Pays over channels of the program, and gets out of them. */
export type ProgramChannelClient = ClientScheme & {
  /**
   * Does what its payer can do now to get out of the channels of an offer's receiver: he asks to close them, and once the grace period is
   * over takes what was not settled. The signatures of what was sent: nothing where he has to wait, or has it all.
   */
  leave(requirements: PaymentRequirements, options?: { readonly signal?: AbortSignal }): Promise<readonly string[]>
}

/**
 * Pays streams over channels of the payment-channels program on Solana (FS/1 §12.2): one deposit that lies with the program, then vouchers
 * that cost no fee. Never more than one window beyond what was delivered is signed.
 *
 * Errors: `config/unknown-network`, `config/not-solana`, `config/bad-secret-key`, `config/bad-rpc-url`, `config/unsafe-local-key`,
 * `config/not-a-token`, `config/unknown-asset`, `config/bad-price` at creation; from its functions `solana/unsupported-terms`,
 * `solana/deposit-cap`, `solana/no-sol`, `solana/not-filled`, `solana/channel-busy`, those of the chain and store.
 */
export function programChannelClient(options: ProgramChannelClientOptions): ProgramChannelClient {
  const { network, fits, ...given } = voucherDesk(options)
  const session = options.session === undefined ? given.sender : senderOf(options.session)
  const desk: ChannelDesk = {
    ...given,
    session: async () => session,
    known: (options.channels ?? []).map(({ salt, openSlot, ...parties }) => ({ ...parties, salt: `${salt}`, openSlot: `${openSlot}` })),
  }
  const payer = channelPayer(desk)
  return {
    scheme: channelsScheme,
    networks: [network],
    supports: (offer) => offer.scheme === channelsScheme && fits(offer) && z.safeParse(channelExtra, offer.extra).success,
    lanes: exactLanes(payer),
    ...exactWindows(payer),
    async leave(requirements, { signal } = {}) {
      const now = BigInt(Math.floor(desk.clock() / 1000))
      const sent: string[] = []
      for (const { id, stored } of await channelsFor(desk, requirements, { signal })) {
        const instructions = leavingOf({ channel: id, stored, now })
        if (instructions.length > 0) sent.push(await callChannel(desk, { id, instructions, signal }))
      }
      return sent
    },
  }
}
