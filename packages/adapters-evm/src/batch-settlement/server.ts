import { type Asset, type PaymentPayload, parsePrice, priceInAsset, type ServerScheme, type Store, type Vouchers } from '@flow402x/core'
import type { RailPayment } from '@flow402x/core/stream'
import { isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { type EvmReader, evmReader } from '../chain/reader.ts'
import { assetHere, type EvmSellerOptions, evmSeller } from '../checks/seller.ts'
import type { Secp256k1 } from '../crypto/secp256k1.ts'
import type { EvmSigner } from '../crypto/signer.ts'
import { amountUsed } from '../upto/usage.ts'
import type { Desk } from './receiver/desk.ts'
import type { RunnerPolicy } from './receiver/runner.ts'
import { batchReason, bookId, readBatchPayload } from './wire.ts'

/** What being paid over channels on an EVM network takes. */
export type BatchSettlementServerOptions = Omit<EvmSellerOptions, 'confirmations' | 'rpcUrl'> & {
  /** The channels' books: durable, since vouchers that are lost are money that is lost; and the lease of who claims. */
  readonly store: Pick<Store, 'channels' | 'journal'>
  /** A JSON-RPC node of the network: channels are read there when nothing fresh is known of them. */
  readonly rpcUrl?: string
  /** The same as a value, instead of `rpcUrl`. */
  readonly chain?: EvmReader
  /**
   * Signs claims and refunds for the receiver. Where there is none the facilitator does, if it says so, and can then give back what
   * was not claimed yet.
   */
  readonly authorizer?: EvmSigner
  /** How deposits are brought in: by EIP-3009 where the token can, and else by Permit2, unless told. */
  readonly transfer?: 'eip3009' | 'permit2'
  /** Seconds between a payer's wish to withdraw and his money: 900 unless told, and at most 2,592,000. */
  readonly withdrawDelay?: number
  /** The deposit that payers are advised to make, such as "$5"; ten times the price unless told. Smaller ones are taken. */
  readonly minDeposit?: string
  /** What must have been bought over a channel for each refund that is made at the seller's cost; "$0.01" unless told (M19). */
  readonly chargedPerRefund?: string
  /** When what is owed is claimed. */
  readonly claims?: RunnerPolicy
  /** The curve that checks vouchers; the fastest that runs here unless told. */
  readonly secp256k1?: Secp256k1
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/**
 * Is paid over channels (x402 `batch-settlement` on EVM): a payer deposits once, and vouchers then pay requests in microseconds, with
 * no chain and no facilitator. What was charged is claimed together, by the server that has this scheme.
 *
 * Errors: those of `evmSeller`, `config/no-channel-chain`, `config/bad-withdraw-delay`, `config/bad-price`; from `requirements`
 * also `config/no-authorizer`.
 */
export function batchSettlementServer(options: BatchSettlementServerOptions): ServerScheme {
  const { authorizer, withdrawDelay = 900, clock = Date.now } = options
  const chain = options.chain ?? (options.rpcUrl === undefined ? undefined : evmReader({ ...options, rpcUrl: options.rpcUrl }))
  if (chain === undefined) throw evmErrors('config/no-channel-chain', {})
  if (!Number.isInteger(withdrawDelay) || withdrawDelay < 900 || withdrawDelay > 2_592_000) {
    throw evmErrors('config/bad-withdraw-delay', { seconds: withdrawDelay })
  }
  const asset = assetHere(chain.network, options.asset)
  const seller = sellerOf(options, { asset, withdrawDelay })
  if (chain.network !== seller.network) {
    throw evmErrors('config/wrong-chain', { network: seller.network, host: chain.rpc.host, answered: chain.network })
  }
  const inAsset = (price: string): bigint => priceInAsset(parsePrice(price), asset)
  const minDeposit = options.minDeposit === undefined ? undefined : inAsset(options.minDeposit)
  const chargedPerRefund = inAsset(options.chargedPerRefund ?? '$0.01')
  // Its curve, and what finds the native one, is loaded by who uses it alone.
  let opened: Promise<Desk> | undefined
  let here: Desk | undefined
  const desk = (): Promise<Desk> => {
    opened ??= import('./receiver/desk.ts').then(({ receiverDesk }) => {
      here = receiverDesk({ ...options, chain, asset, authorizer, chargedPerRefund, clock, policy: options.claims ?? {} })
      return here
    })
    return opened
  }
  const atDesk = <Answer>(ask: (desk: Desk) => Promise<Answer>): Promise<Answer> => (here === undefined ? desk().then(ask) : ask(here))
  const move: Vouchers['move'] = (submission, given) => atDesk((one) => one.move(submission, given))
  return {
    ...seller,
    requirements(input) {
      // Whether a voucher is charged before or after the work is nothing to its payer: it is on no wire.
      const offer = seller.requirements({ ...input, flow: 'authorization' })
      const named = authorizer?.address ?? input.kind?.extra?.receiverAuthorizer
      if (input.kind !== undefined && (typeof named !== 'string' || !isPayable(named))) throw evmErrors('config/no-authorizer', {})
      const advised = minDeposit ?? 10n * BigInt(offer.amount)
      return {
        ...offer,
        extra: { ...offer.extra, ...(named === undefined ? {} : { receiverAuthorizer: named }), minDeposit: `${advised}` },
      }
    },
    async start(given) {
      await chain.start(given)
      await desk()
    },
    rail: {
      grades: ['A', 'B'],
      refundable: true,
      unsigned: batchReason('voucher_signature'),
      read: readPayment,
      move,
      check: (submission) => atDesk(({ rail }) => rail.check(submission)),
      channel: (id) => atDesk(({ rail }) => rail.channel(id)),
      buy: (submission, lane, given) => atDesk(({ rail }) => rail.buy(submission, lane, given)),
      raise: (voucher, lane, given) => atDesk(({ rail }) => rail.raise(voucher, lane, given)),
      grow: (lane) => atDesk(({ rail }) => rail.grow(lane)),
      adopt: (lane) => atDesk(({ rail }) => rail.adopt(lane)),
      end: (lane, given) => atDesk(({ rail }) => rail.end(lane, given)),
    },
    vouchers: {
      read: readPayment,
      take: (submission, given) => atDesk((one) => one.take(submission, given)),
      move,
      runner: (given) => {
        const runner = desk().then((vouchers) => vouchers.runner(given))
        return {
          start: () => void runner.then((one) => one.start()),
          round: async (asked) => (await runner).round(asked),
          close: async () => (await runner).close(),
        }
      },
    },
  }
}

function readPayment(payment: PaymentPayload): RailPayment | undefined {
  const payload = readBatchPayload(payment)
  if (payload === undefined || !('channelConfig' in payload)) return undefined
  const { type: kind, channelConfig, voucher } = payload
  return {
    kind,
    payer: channelConfig.payer.toLowerCase(),
    channelId: bookId(voucher.channelId),
    max: voucher.maxClaimableAmount,
    signature: voucher.signature,
  }
}

function sellerOf(
  { rpcUrl: _, ...options }: BatchSettlementServerOptions,
  { asset, withdrawDelay }: { readonly asset: Asset; readonly withdrawDelay: number },
): ServerScheme {
  const { network, symbol, eip712, permit } = asset
  const transfer = options.transfer ?? asset.transfer
  if (transfer !== 'permit2' && (transfer !== 'eip3009' || eip712 === undefined)) {
    throw evmErrors('config/no-authorizations', { network, asset: symbol })
  }
  // Where the token has no EIP-2612, its domain would have clients sign a permit that nothing takes (wire.md §6.1).
  const isNamed = eip712 !== undefined && (transfer === 'eip3009' || permit !== false)
  const domain = isNamed ? { name: eip712.name, version: eip712.version } : {}
  const method = transfer === 'permit2' ? { assetTransferMethod: transfer } : {}
  return evmSeller(options, () => ({
    scheme: 'batch-settlement',
    flows: ['authorization', 'upfront'],
    extra: () => ({ withdrawDelay, ...domain, ...method }),
    key: () => undefined,
    check: () => ({ valid: false, reason: 'invalid_payload' }),
    read: () => undefined,
    settlement({ requirements }, used) {
      return { ...requirements, amount: `${amountUsed(used, { ceiling: BigInt(requirements.amount), asset })}` }
    },
  }))
}
