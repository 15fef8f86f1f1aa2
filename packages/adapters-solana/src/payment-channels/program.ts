import { sha256 } from '@noble/hashes/sha2'
import { encodeBase58 } from '../chain/base58.ts'
import type { StoredAccount } from '../chain/reader.ts'
import { programAddress } from '../chain/token-account.ts'
import { bytesOf, joined, u16, u32, u64 } from './layout.ts'

/** The payment-channels program, which this project calls and does not build (wire.md §15). */
export const channelsProgram = 'CHNLxYvVA28MJP9PrFuDXccuoGXAx7jBacfLEkahyGsX'

/** What a channel's address is made from: six seeds, all of which its payer signs when it is opened. */
export type ChannelSeeds = {
  readonly payer: string
  readonly payee: string
  readonly mint: string
  readonly authorizedSigner: string
  readonly salt: bigint
  readonly openSlot: bigint
}

/** Who is paid when a channel is distributed, in hundredths of a percent. */
export type Share = { readonly recipient: string; readonly bps: number }

const text = (ascii: string): Uint8Array => new TextEncoder().encode(ascii)
const program = bytesOf(channelsProgram)

/** The address of a channel. */
export function channelAddress({ payer, payee, mint, authorizedSigner, salt, openSlot }: ChannelSeeds): string {
  const seeds = [text('channel'), ...[payer, payee, mint, authorizedSigner].map(bytesOf), u64(salt), u64(openSlot)]
  return encodeBase58(programAddress(seeds, program))
}

/** The account that the program's own events are addressed to. */
export const eventAuthority: string = encodeBase58(programAddress([text('event_authority')], program))

/** A channel as the program keeps it. Amounts are atomic; `closureStartedAt` in Unix seconds, 0 while it is open. */
export type StoredChannel = ChannelSeeds & {
  readonly status: 'open' | 'closing' | 'sealed' | 'distributed'
  readonly deposit: bigint
  readonly settled: bigint
  readonly payoutWatermark: bigint
  readonly closureStartedAt: bigint
  readonly payerWithdrawnAt: bigint
  readonly gracePeriod: number
  readonly distributionHash: Uint8Array
  readonly rentPayer: string
}

const channelBytes = 256
const statuses = ['open', 'closing', 'sealed', 'distributed'] as const

/** Reads a channel's account; nothing for any other. */
export function readChannelAccount({ owner, data }: StoredAccount): StoredChannel | undefined {
  const status = statuses[data[3] ?? -1]
  if (owner !== channelsProgram || data.length !== channelBytes || data[0] !== 1 || status === undefined) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const at = (start: number): string => encodeBase58(data.subarray(start, start + 32))
  return {
    status,
    salt: view.getBigUint64(4, true),
    deposit: view.getBigUint64(12, true),
    settled: view.getBigUint64(20, true),
    payoutWatermark: view.getBigUint64(28, true),
    closureStartedAt: view.getBigInt64(36, true),
    payerWithdrawnAt: view.getBigInt64(44, true),
    gracePeriod: view.getUint32(52, true),
    distributionHash: Uint8Array.from(data.subarray(56, 88)),
    payer: at(88),
    payee: at(120),
    authorizedSigner: at(152),
    mint: at(184),
    rentPayer: at(216),
    openSlot: view.getBigUint64(248, true),
  }
}

/** What a channel says of whom it pays: the hash that its account keeps. */
export function distributionHash(shares: readonly Share[]): Uint8Array {
  return sha256(writeShares(shares))
}

/** Shares as `open` and `distribute` carry them. */
export function writeShares(shares: readonly Share[]): Uint8Array {
  return joined([u32(shares.length), ...shares.flatMap(({ recipient, bps }) => [bytesOf(recipient), u16(bps)])])
}
