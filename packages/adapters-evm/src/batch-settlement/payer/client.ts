import { type ChannelStore, type ClientScheme, channelBook, type PaymentRequirements } from '@flow402x/core'
import { memoryChannels } from '@flow402x/core/memory'
import { isPayable } from '../../chain/address.ts'
import { type EvmPayerOptions, evmPayer, refuseEip3009, type TransferMethod } from '../../checks/payer.ts'
import type { Hex } from '../../crypto/bytes.ts'
import { payerErrors } from '../../crypto/errors.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { readBatchPayload } from '../wire.ts'
import { type ChannelReader, draw, openRow, type PayerDesk } from './books.ts'
import { type DepositCaps, depositRules } from './caps.ts'
import { type Correcting, correct } from './correct.ts'
import { lanePayer } from './lanes.ts'
import { type ChannelOffer, channelOffer } from './offer.ts'
import { drawOptions, finished, type Payer, type PayerChannelEvent, signed } from './payment.ts'
import { refundOf } from './refund.ts'

/** What paying over channels on EVM chains takes. */
export type BatchSettlementClientOptions = EvmPayerOptions &
  DepositCaps & {
    /** Where the books of channels are kept, shared by every process of the wallet; the memory of this process unless given. */
    readonly store?: { readonly channels: ChannelStore }
    /** Signs vouchers in the place of `signer`, who signs deposits: needed where that is no key, as a smart wallet. */
    readonly voucherSigner?: EvmSigner
    /** Ways to look at networks, such as an `evmChain`: what is in a channel is then read, and not believed. */
    readonly chains?: readonly ChannelReader[]
    /** The longest that a deposit may be stuck where a seller does not help, in seconds; a day unless given. */
    readonly maxWithdrawDelay?: number
    /** Tells channels to one receiver apart, as 32 bytes of hex; zero unless given. */
    readonly salt?: Hex
    readonly onEvent?: (event: PayerChannelEvent) => void
    /** Unix milliseconds. */
    readonly clock?: () => number
  }

/**
 * Pays by vouchers over a channel for each receiver (x402 `batch-settlement` on EVM): one deposit, by EIP-3009 or Permit2, then calls that
 * cost no gas, many at a time. What is signed follows these books alone: an answer can lower it or stop it, and raises it only where it
 * shows a voucher of the payer's own. Deposits have caps of their own and are no spending.
 *
 * Errors: those of `exactEvmClient` at creation; from its functions `evm/deposit-cap`, `evm/no-exit`, `evm/channel-disagrees`,
 * `evm/channel-busy`, `evm/approval-required`, those of signing, of the store and of the chain.
 */
export function batchSettlementClient(options: BatchSettlementClientOptions): ClientScheme {
  const { signer, voucherSigner = signer, store = { channels: memoryChannels() }, chains = [], clock = Date.now } = options
  const { random = (bytes) => crypto.getRandomValues(bytes), maxWithdrawDelay = 86_400, salt = noSalt } = options
  if (!isPayable(voucherSigner.address))
    throw payerErrors('config/bad-address', { option: 'voucherSigner.address', address: voucherSigner.address })
  const chainOf = (network: string) => chains.find((chain) => chain.network === network)
  const policy = { payer: signer.address, voucherKey: voucherSigner.address, salt, maxWithdrawDelay }
  const rules = depositRules(options, { store: store.channels, chainOf })
  const desk: PayerDesk = {
    book: channelBook(store.channels, { side: 'payer' }),
    rules,
    signer,
    chainOf,
    random,
    clock,
    oneByOne: new Set(),
  }
  const payer: Payer = { desk, voucherSigner, raises: new Map(), tell: options.onEvent ?? (() => {}) }
  const offerOf = (requirements: PaymentRequirements): ChannelOffer => {
    const offer = channelOffer(requirements, policy)
    if (typeof offer === 'string') throw payerErrors('evm/unsupported-terms', { why: offer })
    return offer
  }
  const method = (name: string): TransferMethod => ({
    name,
    refuse(requirements) {
      const offer = channelOffer(requirements, policy)
      if (typeof offer === 'string') return offer
      return name === 'eip3009' ? refuseEip3009(requirements) : undefined
    },
    sign: async (requirements, given) => {
      const offer = offerOf(requirements)
      await openRow(desk, offer, { ...given, asked: askedIn(given.binding) })
      return await signed(payer, offer, { drawing: await draw(desk, offer, drawOptions(given)), given })
    },
  })
  return {
    ...evmPayer('batch-settlement', [method('eip3009'), method('permit2')], options),
    lanes: lanePayer(payer, { offerOf, askedIn }),
    onReceipt: (prepared, end) => finished(payer, prepared, end),
    async onCorrective(prepared, correction, given) {
      const payload = readBatchPayload(prepared)
      if (payload === undefined || !('voucher' in payload)) return undefined
      const correcting: Correcting = { offer: offerOf(correction.requirements), prepared, payload, correction, given }
      const next = await correct(payer, correcting)
      if (next === undefined || 'payload' in next) return next
      return await signed(payer, correcting.offer, { drawing: next, given })
    },
    async refund(requirements, given) {
      const offer = channelOffer(requirements, policy)
      return typeof offer === 'string' ? undefined : await refundOf(payer, offer, given)
    },
  }
}

const noSalt: Hex = `0x${'00'.repeat(32)}`

/** The request that opened a channel, without its query: where to ask for a refund. */
function askedIn(binding: string | undefined): string | undefined {
  return binding?.split(' ').slice(0, 2).join(' ').split('?')[0]
}
