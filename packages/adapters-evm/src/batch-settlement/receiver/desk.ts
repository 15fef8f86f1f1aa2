import type { Asset, Store, Vouchers } from '@flow402x/core'
import type { EvmReader } from '../../chain/reader.ts'
import { hastenKeccak } from '../../crypto/fast-keccak.ts'
import { fastestSecp256k1 } from '../../crypto/native-secp256k1.ts'
import type { Secp256k1 } from '../../crypto/secp256k1.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { recoverable, voucherCheck } from '../voucher.ts'
import { receiverBooks } from './books.ts'
import { channelMoves } from './moves.ts'
import { type ChannelRail, channelRail } from './rail.ts'
import { channelReceiver } from './receiver.ts'
import { channelRunner, type RunnerPolicy } from './runner.ts'

/** What a seller's desk for vouchers is made of. */
export type DeskOptions = {
  readonly chain: EvmReader
  readonly store: Pick<Store, 'channels' | 'journal'>
  readonly asset: Asset
  readonly authorizer: EvmSigner | undefined
  readonly chargedPerRefund: bigint
  readonly policy: RunnerPolicy
  readonly clock: () => number
  readonly secp256k1?: Secp256k1 | undefined
}

/** What a seller's desk serves: one-shot work and streams, upon the same books. */
export type Desk = Omit<Vouchers, 'read'> & { readonly rail: ChannelRail }

/** Everything of `Vouchers` and `Rail` that needs books, a chain or a curve. */
export function receiverDesk(options: DeskOptions): Desk {
  const { chain, clock, store } = options
  void hastenKeccak()
  const books = receiverBooks({ chain, store: store.channels })
  const curve = { chainId: chain.chainId, secp256k1: options.secp256k1 ?? fastestSecp256k1() }
  const checkVoucher = voucherCheck(curve, { anyV: true })
  const parts = { books, claimable: recoverable(curve) }
  const receiver = channelReceiver({ ...parts, chain, checkVoucher })
  return {
    async take(submission, given) {
      const answer = await receiver.take(submission, { now: clock(), ...given })
      if ('reason' in answer) return answer
      const { taken } = answer
      const { id, amount, channelConfig } = taken
      return {
        id,
        amount,
        payer: channelConfig.payer.toLowerCase(),
        extend: (until) => receiver.extend(taken, until),
        finish: (used) => receiver.finish(taken, { used, now: clock() }),
        leave: async (hasLeft) => receiver.leave(taken, hasLeft ? undefined : { at: clock(), request: await given.request?.() }),
      }
    },
    move: channelMoves({ ...options, ...parts, receiver }),
    runner: (given) => channelRunner({ ...options, ...given, ...parts }),
    rail: channelRail({ books, receiver, checkVoucher, network: chain.network, clock }),
  }
}
