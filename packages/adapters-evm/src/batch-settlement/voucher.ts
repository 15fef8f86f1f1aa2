import { type PaymentRequirements, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { bytesReader, type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { addressOf, canonicalSignature, type Judge, type KnownKeys, type Secp256k1 } from '../crypto/secp256k1.ts'
import { type ChannelConfig, channelIdOf, type VoucherDigest, voucherDigest, voucherDigests } from './channel.ts'
import { type BatchRefusal, batchReason, batchTerms, type VoucherClaim } from './wire.ts'

/** What a payment says of its channel: the config, and a voucher that names the channel's id. */
export type Drawn = {
  readonly channelConfig: ChannelConfig
  readonly voucher: { readonly channelId: Hex; readonly maxClaimableAmount: bigint; readonly signature: Hex }
}

/** The same with the signature as text or, as frames have it, as bytes. */
type Signed = Omit<Drawn, 'voucher'> & { readonly voucher: Omit<Drawn['voucher'], 'signature'> & { readonly signature: Hex | Uint8Array } }

/** What a seller's offer asks of a channel. */
export type ChannelTerms = {
  readonly receiver: string
  readonly receiverAuthorizer: string
  readonly token: string
  readonly withdrawDelay: number
}

/** On which chain vouchers are spent, and the curve by which they are judged. */
export type VoucherCurve = { readonly chainId: bigint; readonly secp256k1: Secp256k1 }

/** Judges vouchers with no chain: see `voucherCheck`. */
export type VoucherCheck = (drawn: Signed) => BatchRefusal | undefined

/**
 * Checks that a voucher was signed for the channel it names, by the key that the channel itself names (FS/1 §2, M28): the id is
 * hashed from the config, so neither can be another's. The signature is looked at before anything else is told or looked up (A23).
 * A channel without a key of its own, whose contract would have to judge, is refused: nobody can do that in a microsecond.
 *
 * `anyV`: v is not looked at of keys that sign often, which is faster. It is for who makes the claims himself, by `recoverable`: others would
 * claim what they were told is right, as it came.
 */
export function voucherCheck({ chainId, secp256k1 }: VoucherCurve, { anyV = false }: { readonly anyV?: boolean } = {}): VoucherCheck {
  const digestsOf = channelDigests(chainId)
  const isSignedBy = signatures(secp256k1, anyV ? secp256k1.often : undefined)
  return ({ channelConfig, voucher: { channelId, maxClaimableAmount, signature } }) => {
    const digestOf = digestsOf(channelId, channelConfig)
    if (digestOf === undefined) return { reason: batchReason('channel_id_mismatch') }
    if (isZero(channelConfig.payerAuthorizer)) {
      return { reason: batchReason('authorizer_address_mismatch'), message: 'Name the key that signs vouchers as payerAuthorizer.' }
    }
    // The contract recovers 65 bytes and knows no other form.
    const bytes = typeof signature === 'string' ? readSignature(signature) : signature
    const canonical = bytes && canonicalSignature(bytes)
    const signed = canonical !== undefined && isSignedBy(channelConfig.payerAuthorizer, digestOf(maxClaimableAmount), canonical)
    return signed ? undefined : { reason: batchReason('voucher_signature') }
  }
}

/** A row of a claim with its signature in the one form that the escrow takes: it knows no v of 0 or 1, as some wallets write it. */
export function claimable(row: VoucherClaim): VoucherClaim {
  if (!/0[01]$/.test(row.signature)) return row
  const canonical = canonicalSignature(toBytes(row.signature))
  return canonical === undefined ? row : { ...row, signature: toHex(canonical) }
}

/**
 * Gives rows of claims the v by which the escrow recovers who signed: their vouchers were checked, and that says nothing of v. A row that
 * is nobody's stays as it is.
 */
export function recoverable({ chainId, secp256k1 }: VoucherCurve): (row: VoucherClaim) => VoucherClaim {
  return (row) => {
    const { channel, maxClaimableAmount } = row.voucher
    const digest = voucherDigest(chainId, { channelId: channelIdOf(chainId, channel), maxClaimableAmount })
    const signature = toBytes(row.signature)
    const named = (signature[64] ?? 0) % 27
    for (const recovery of [named, 1 - named]) {
      signature[64] = 27 + recovery
      const key = secp256k1.recover(digest, signature)
      if (key !== undefined && sameAddress(addressOf(key), channel.payerAuthorizer)) return { ...row, signature: toHex(signature) }
    }
    return row
  }
}

const readSignature = bytesReader(65)

/** Whether a channel is one that requirements ask for, in the order of wire.md §11.4. Those without terms of channels ask for none. */
export function refuseTerms(config: ChannelConfig, { extra, payTo, asset }: PaymentRequirements): BatchRefusal | undefined {
  const { receiverAuthorizer, withdrawDelay } = (extra && known.get(extra)) ?? termsIn(extra)
  return refuseChannel(config, { receiver: payTo, receiverAuthorizer, token: asset, withdrawDelay })
}

function termsIn(extra: PaymentRequirements['extra']): KnownTerms {
  const { receiverAuthorizer = '0x', withdrawDelay = 0 } = z.safeParse(batchTerms, extra).data ?? {}
  const terms = { receiverAuthorizer, withdrawDelay }
  if (extra) known.set(extra, terms)
  return terms
}

// The offer of a route with a fixed price is the same object for every request.
const known = new WeakMap<object, KnownTerms>()
type KnownTerms = Pick<ChannelTerms, 'receiverAuthorizer' | 'withdrawDelay'>

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
const mostChannels = 4096

function isZero(address: Hex): boolean {
  return /^0x0{40}$/.test(address)
}

// Of so many keys it is counted how often they signed.
const mostCounted = 4096

/** Whether an address signed: by recovery, and for keys that sign often by what the curve knows of them then. */
function signatures(
  secp256k1: Secp256k1,
  often: KnownKeys | undefined,
): (address: Hex, digest: Uint8Array, signature: Uint8Array) => boolean {
  const counts = new Map<string, number>()
  const judges = new Map<string, Judge>()
  return (address, digest, signature) => {
    const judge = judges.get(address)
    if (judge !== undefined) return judge(digest, signature)
    const key = secp256k1.recover(digest, signature)
    if (key === undefined || addressOf(key) !== address.toLowerCase()) return false
    if (often === undefined) return true
    const count = (counts.get(address) ?? 0) + 1
    if (count < often.from) keep(counts, address, { value: count, most: mostCounted })
    else {
      counts.delete(address)
      keep(judges, address, { value: often.judgeOf(key), most: often.most })
    }
    return true
  }
}

/** The digests of a channel's vouchers, unless its id is not that of its config: half of what checking one hashes is the same each time. */
function channelDigests(chainId: bigint): (id: Hex, config: ChannelConfig) => VoucherDigest | undefined {
  const channels = new Map<string, { readonly config: ChannelConfig; readonly digestOf: VoucherDigest }>()
  return (id, config) => {
    const known = channels.get(id)
    if (known !== undefined && (known.config === config || members.every((one) => known.config[one] === config[one]))) return known.digestOf
    if (channelIdOf(chainId, config) !== id.toLowerCase()) return undefined
    const digestOf = voucherDigests(chainId, id)
    keep(channels, id, { value: { config, digestOf }, most: mostChannels })
    return digestOf
  }
}

const members = ['payer', 'payerAuthorizer', 'receiver', 'receiverAuthorizer', 'token', 'withdrawDelay', 'salt'] as const

/** Keeps a value, and of others the newest. */
function keep<Value>(kept: Map<string, Value>, key: string, { value, most }: { readonly value: Value; readonly most: number }): void {
  const [oldest] = kept.keys()
  if (!kept.has(key) && kept.size >= most && oldest !== undefined) kept.delete(oldest)
  kept.set(key, value)
}
