import { type PaymentRequirements, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { addressOf, canonicalSignature, type Secp256k1 } from '../crypto/secp256k1.ts'
import { type ChannelConfig, channelIdOf, voucherDigest } from './channel.ts'
import { type BatchRefusal, batchReason, batchTerms } from './wire.ts'

/** What a payment says of its channel: the config, and a voucher that names the channel's id. */
export type Drawn = {
  readonly channelConfig: ChannelConfig
  readonly voucher: { readonly channelId: Hex; readonly maxClaimableAmount: bigint; readonly signature: Hex }
}

/** What a seller's offer asks of a channel. */
export type ChannelTerms = {
  readonly receiver: string
  readonly receiverAuthorizer: string
  readonly token: string
  readonly withdrawDelay: number
}

/** Judges vouchers with no chain: see `voucherCheck`. */
export type VoucherCheck = (drawn: Drawn) => BatchRefusal | undefined

/**
 * Checks that a voucher was signed for the channel it names, by the key that the channel itself names (FS/1 §2, M28): the id is
 * hashed from the config, so neither can be another's. The signature is looked at before anything else is told or looked up (A23).
 * A channel without a key of its own, whose contract would have to judge, is refused: nobody can do that in a microsecond.
 */
export function voucherCheck({ chainId, secp256k1 }: { readonly chainId: bigint; readonly secp256k1: Secp256k1 }): VoucherCheck {
  const idOf = channelIds(chainId)
  const isSignedBy = signatures(secp256k1)
  return ({ channelConfig, voucher: { channelId, maxClaimableAmount, signature } }) => {
    const id = channelId.toLowerCase()
    if (idOf(channelConfig) !== id) return { reason: batchReason('channel_id_mismatch') }
    if (isZero(channelConfig.payerAuthorizer)) {
      return { reason: batchReason('authorizer_address_mismatch'), message: 'Name the key that signs vouchers as payerAuthorizer.' }
    }
    // The contract recovers 65 bytes and knows no other form.
    const canonical = canonicalSignature(toBytes(signature))
    const digest = voucherDigest(chainId, { channelId, maxClaimableAmount })
    const signed = canonical !== undefined && isSignedBy(channelConfig.payerAuthorizer.toLowerCase(), { digest, signature: canonical })
    return signed ? undefined : { reason: batchReason('voucher_signature') }
  }
}

/** A voucher with its signature in the one form that the escrow takes: it knows no v of 0 or 1, as some wallets write it. */
export function claimable<Signed extends { readonly signature: Hex }>(voucher: Signed): Signed {
  const canonical = canonicalSignature(toBytes(voucher.signature))
  return canonical === undefined ? voucher : { ...voucher, signature: toHex(canonical) }
}

/** Whether a channel is one that requirements ask for, in the order of wire.md §11.4. Those without terms of channels ask for none. */
export function refuseTerms(config: ChannelConfig, { extra, payTo, asset }: PaymentRequirements): BatchRefusal | undefined {
  const terms = (extra && known.get(extra)) ?? { receiverAuthorizer: '0x', withdrawDelay: 0, ...z.safeParse(batchTerms, extra).data }
  if (extra) known.set(extra, terms)
  return refuseChannel(config, { ...terms, receiver: payTo, token: asset })
}

// The offer of a route with a fixed price is the same object for every request.
const known = new WeakMap<object, Pick<ChannelTerms, 'receiverAuthorizer' | 'withdrawDelay'>>()

/** Whether a channel is one that the offer asks for, in the order of wire.md §11.4. */
export function refuseChannel(
  { receiver, receiverAuthorizer, token, withdrawDelay }: ChannelConfig,
  terms: ChannelTerms,
): BatchRefusal | undefined {
  if (!sameAddress(receiver, terms.receiver)) return { reason: batchReason('receiver_mismatch') }
  if (!sameAddress(receiverAuthorizer, terms.receiverAuthorizer)) return { reason: batchReason('receiver_authorizer_mismatch') }
  if (!sameAddress(token, terms.token)) return { reason: batchReason('token_mismatch') }
  if (withdrawDelay !== terms.withdrawDelay) return { reason: batchReason('withdraw_delay_mismatch') }
  if (withdrawDelay < leastDelay || withdrawDelay > mostDelay) return { reason: batchReason('withdraw_delay_out_of_range') }
  return undefined
}

const leastDelay = 900
const mostDelay = 2_592_000
const mostIds = 4096

function isZero(address: Hex): boolean {
  return /^0x0{40}$/.test(address)
}

const mostKeys = 64
// A key that signed so often is worth its tables.
const oftenSigned = 32

type Signed = { readonly digest: Uint8Array; readonly signature: Uint8Array }

/** Whether an address signed: by recovery, and for keys that sign often by tables, where the curve gains by them. */
function signatures(secp256k1: Secp256k1): (address: string, signed: Signed) => boolean {
  const keys = new Map<string, { uses: number; judge?: (digest: Uint8Array, signature: Uint8Array) => boolean }>()
  return (address, { digest, signature }) => {
    const known = keys.get(address)
    if (known?.judge !== undefined) return known.judge(digest, signature)
    const key = secp256k1.recover(digest, signature)
    if (key === undefined || addressOf(key) !== address) return false
    if (secp256k1.signedBy === undefined) return true
    const uses = (known?.uses ?? 0) + 1
    const [oldest] = keys.keys()
    if (known === undefined && keys.size >= mostKeys && oldest !== undefined) keys.delete(oldest)
    keys.set(address, uses < oftenSigned ? { uses } : { uses, judge: secp256k1.signedBy(key) })
    return true
  }
}

/** Ids of channels by config: half of what checking a voucher hashes is the same each time. */
function channelIds(chainId: bigint): (config: ChannelConfig) => Hex {
  const kept = new Map<string, Hex>()
  return (config) => {
    const { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt } = config
    const text = [payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt].join('/').toLowerCase()
    const known = kept.get(text)
    if (known !== undefined) return known
    const id = channelIdOf(chainId, config)
    const [oldest] = kept.keys()
    if (kept.size >= mostIds && oldest !== undefined) kept.delete(oldest)
    kept.set(text, id)
    return id
  }
}
