import { lesser } from '@flow402x/core/stream'
import type { Instruction } from '@solana/kit'
import { sameBytes } from '../chain/address.ts'
import { decodeBase58 } from '../chain/base58.ts'
import { type Ring, settleable } from '../vouchers/ring.ts'
import {
  distributeInstruction,
  reclaimInstruction,
  requestCloseInstruction,
  sealInstruction,
  settleAndSealInstruction,
  settleInstruction,
  withdrawPayerInstruction,
} from './instructions.ts'
import { channelAddress, distributionHash, type Share, type StoredChannel } from './program.ts'
import { voucherCheckInstruction } from './voucher.ts'

/**
 * What a receiver asks of a channel before he takes a voucher over it. `payee` may end it, and so has to be he or somebody he trusts to
 * settle first; `leastGrace` are the seconds he is left with once its payer wants to close.
 */
export type ReceiverTerms = {
  readonly receiver: string
  readonly mint: string
  readonly payee: string
  readonly leastGrace: number
}

/** Why a channel is not taken: it is none at that address, of another token, ended by another, pays others as well, leaves too little time, or is no longer open. */
export type ChannelRefusal = 'address' | 'mint' | 'payee' | 'shares' | 'grace' | 'closing'

/** Judges a channel as the chain keeps it; nothing where vouchers over it are good for what is in it. */
export function refuseChannel(named: string, stored: StoredChannel, terms: ReceiverTerms): ChannelRefusal | undefined {
  if (channelAddress(stored) !== named) return 'address'
  if (stored.mint !== terms.mint) return 'mint'
  if (stored.payee !== terms.payee) return 'payee'
  if (!sameBytes(stored.distributionHash, distributionHash(sharesOf(terms)))) return 'shares'
  if (stored.gracePeriod < terms.leastGrace) return 'grace'
  return stored.status === 'open' ? undefined : 'closing'
}

/** All of what is settled is one receiver's. */
export function sharesOf({ receiver }: Pick<ReceiverTerms, 'receiver'>): readonly Share[] {
  return [{ recipient: receiver, bps: 10_000 }]
}

/** A channel that is settled or left: its address, what the chain says of it, and the chain's own time in Unix seconds. */
export type ChannelNow = { readonly channel: string; readonly stored: StoredChannel; readonly now: bigint }

/** A channel with the vouchers over it that never expire, of which so much was `consumed`, on a network. */
export type Settling = ChannelNow & {
  readonly network: string
  readonly receiver: string
  readonly ring: Ring
  readonly consumed: bigint
  readonly slot: bigint
}

// The program keeps an account for so many slots after its opening, so that no other takes its address.
const openSlots = 1500n

/**
 * What brings a receiver his money now, as instructions in one transaction; nothing where there is nothing to do. While a channel is open a
 * voucher that was consumed to its end is settled and paid out; once its payer wants to close, its payee alone can still settle, and ends it;
 * after the grace period it is ended at what was settled.
 */
export function settlementOf({ channel, stored, network, receiver, ring, consumed, now, slot }: Settling): readonly Instruction[] {
  const { status, settled, payoutWatermark, payee, authorizedSigner, rentPayer, openSlot } = stored
  // More than there is would fail, and settle nothing.
  const due = settleable(ring, { consumed: lesser(consumed, stored.deposit), settled })
  const paid = distributeInstruction({ ...stored, channel, network, shares: sharesOf({ receiver }) })
  const payout = paid === undefined ? [] : [paid]
  const signature = due && decodeBase58(due.signature)
  const shown =
    due === undefined || signature === undefined
      ? []
      : [voucherCheckInstruction({ channelId: channel, cumulative: due.max, expiresAt: 0n, signature }, authorizedSigner)]
  const hasVoucher = shown.length > 0
  if (status === 'open') {
    if (hasVoucher) return [...shown, settleInstruction(channel), ...payout]
    return settled > payoutWatermark ? payout : []
  }
  if (status === 'closing') {
    if (now >= graceEnd(stored)) return [sealInstruction(channel), ...payout]
    return [...shown, settleAndSealInstruction({ payee, channel, hasVoucher }), ...payout]
  }
  if (status === 'sealed') return payout
  return slot > openSlot + openSlots ? [reclaimInstruction({ channel, rentPayer })] : []
}

/**
 * What gets its payer out of a channel, step by step and with nobody's help: he wants to close it, waits for the grace period, ends it at what
 * was settled and takes the rest. Nothing where he has to wait, or has it all.
 */
export function leavingOf({ channel, stored, now }: ChannelNow): readonly Instruction[] {
  const { status, payer, mint, payerWithdrawnAt, deposit, settled } = stored
  if (status === 'open') return [requestCloseInstruction({ payer, channel })]
  const taking = withdrawPayerInstruction({ payer, mint, channel })
  if (status === 'closing') return now >= graceEnd(stored) ? [sealInstruction(channel), taking] : []
  return status === 'sealed' && payerWithdrawnAt === 0n && settled < deposit ? [taking] : []
}

function graceEnd({ closureStartedAt, gracePeriod }: StoredChannel): bigint {
  return closureStartedAt + BigInt(gracePeriod)
}
