import { type Changed, type Channel, type ChannelFunds, learnFunds } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeBase58, encodeBase58 } from '../../chain/base58.ts'
import { type RingVoucher, storedAmount, storedVoucher, withRingVoucher, writeVoucher } from '../../vouchers/ring.ts'
import { type NonceChannel, nonceChannel } from '../channel.ts'
import type { ChannelState, Epoch } from '../state.ts'

/** What the row of a channel of nonces says of itself, beside what every channel says. */
const nonceRow = z.object({
  channel: nonceChannel,
  decimals: z.int(),
  nonce: z.string(),
  settled: storedAmount,
  last: z.exactOptional(z.string()),
  /** The newest vouchers over this nonce, lowest first: one is settled exactly, so none but what was consumed may be (FS/1 §1.4). */
  ring: z.array(storedVoucher),
  /** The voucher that the authority was asked to settle: until it is known what became of it, nothing is taken over its nonce. */
  settling: z.exactOptional(z.extend(storedVoucher, { since: z.int() })),
})

/** What the row of a channel of nonces says of itself, beside what every channel says. */
export type NonceRow = z.infer<typeof nonceRow>

/** What a row says of its channel; nothing for another scheme's. */
export function readRow({ config }: Pick<Channel, 'config'>): NonceRow | undefined {
  return z.safeParse(nonceRow, config).data
}

/** The row with another word of itself. */
export function withRow(channel: Channel, row: NonceRow): Channel {
  return { ...channel, config: writeRow(row) }
}

function writeRow({ settled, ring, settling, ...rest }: NonceRow): Readonly<Record<string, unknown>> {
  const under = settling === undefined ? {} : { settling: writeVoucher(settling) }
  return { ...rest, settled: `${settled}`, ring: ring.map(writeVoucher), ...under }
}

/** A new row for a channel as the chain has it. */
export function rowFor(
  { epoch, spendable }: ChannelState,
  { channel, decimals, network, id, now }: { channel: NonceChannel; decimals: number; network: string; id: string; now: number },
): Omit<Channel, 'side' | 'epoch'> {
  const { settled } = epoch
  const config = writeRow({ channel, decimals, ...epoch, ring: [] })
  const funds = fundsOf({ epoch, spendable }, now)
  return { id, network, config, funds, refunding: 0n, charged: settled, top: settled, held: [], free: [] }
}

/**
 * Writes down what the chain says of a channel. Where its nonce moved on, every voucher over the old one is dead, and what was settled is
 * what the transactions moved that advanced it (M30).
 */
export function learnState(channel: Channel, state: ChannelState, now: number): Changed<boolean> {
  const row = readRow(channel)
  // Settled only grows, and so tells what is older of two states.
  if (row === undefined || state.epoch.settled < row.settled) return { channel, result: false }
  const { channel: known, result } = learnFunds(channel, fundsOf(state, now))
  if (!result || state.epoch.nonce === row.nonce) return { channel: known, result }
  const { settling: _, last: __, ...rest } = row
  const { voucher: ___, ...bare } = known
  // What is signed beyond stays credit of whoever holds it; the next voucher of the payer is for all of it again.
  return { channel: withRow(bare, { ...rest, ...state.epoch, ring: [] }), result }
}

function fundsOf({ epoch, spendable }: ChannelState, now: number): ChannelFunds {
  const { settled } = epoch
  return { balance: settled + spendable, claimed: settled, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: now }
}

/** The row with a voucher of its epoch in its ring, in the place of one for as much. */
export function withVoucher(channel: Channel, row: NonceRow, voucher: RingVoucher): Channel {
  const ring = withRingVoucher(row.ring, voucher, channel.charged)
  const highest = ring.at(-1)
  return { ...withRow(channel, { ...row, ring: [...ring] }), ...(highest === undefined ? {} : { voucher: highest }) }
}

/** A voucher's signature as books keep it: with the nonce that it was made over. */
export function signatureText(nonce: string, signature: Uint8Array): string {
  return `${nonce} ${encodeBase58(signature)}`
}

/** Reads `signatureText` back. */
export function readSignature(text: string): { readonly nonce: string; readonly signature: Uint8Array } | undefined {
  const [nonce = '', encoded = ''] = text.split(' ')
  const signature = decodeBase58(encoded)
  return signature?.length === 64 ? { nonce, signature } : undefined
}

/** The epoch that a row stands in. */
export function epochOf({ nonce, settled, last }: NonceRow): Epoch {
  return { nonce, settled, ...(last === undefined ? {} : { last }) }
}
