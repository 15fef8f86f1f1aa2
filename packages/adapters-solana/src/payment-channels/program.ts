import { sha256 } from '@noble/hashes/sha2'
import { AccountRole, address, type Instruction } from '@solana/kit'
import { addressBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { associatedToken, splToken, system } from '../chain/programs.ts'
import type { StoredAccount } from '../chain/reader.ts'
import { associatedTokenAddress, programAddress } from '../chain/token-account.ts'

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
const bytesOf = (named: string): Uint8Array => addressBytes(named) ?? new Uint8Array(32)
const program = bytesOf(channelsProgram)

/** The address of a channel. */
export function channelAddress({ payer, payee, mint, authorizedSigner, salt, openSlot }: ChannelSeeds): string {
  const seeds = [text('channel'), ...[payer, payee, mint, authorizedSigner].map(bytesOf), u64(salt), u64(openSlot)]
  return encodeBase58(programAddress(seeds, program))
}

/** The account that the program's own events are addressed to. */
export const eventAuthority: string = encodeBase58(programAddress([text('event_authority')], program))

// By network: who owns the account that takes the program's own share.
const treasuries: Readonly<Record<string, string>> = {
  'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp': 'Cs2zdfUNonRdRGsiZUQQLdTxzxVvJZmgiX2mpLYKuEqP',
  'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1': '4zTeC5mVqWLruDexgU2mV66p9t5vCA9JyiZqdGDUspap',
}

/** What opening a channel takes beside its seeds. `gracePeriod` in seconds: so long the payee can settle after its payer wants to close. */
export type Opening = ChannelSeeds & {
  readonly rentPayer: string
  readonly deposit: bigint
  readonly gracePeriod: number
  readonly shares: readonly Share[]
}

const discriminators = { open: 1, settleAndSeal: 4, distribute: 7, reclaim: 9 } as const
const rentSysvar = 'SysvarRent111111111111111111111111111111111'
const instructionsSysvar = 'Sysvar1nstructions1111111111111111111111111'

/** Opens a channel and puts its deposit in. Its payer and whoever pays the rent sign. */
export function openInstruction({ rentPayer, deposit, gracePeriod, shares, ...seeds }: Opening): Instruction {
  const { payer, payee, mint, authorizedSigner, salt, openSlot } = seeds
  const channel = channelAddress(seeds)
  return {
    programAddress: address(channelsProgram),
    accounts: [
      writableSigner(payer),
      writableSigner(rentPayer),
      ...[payee, mint, authorizedSigner].map(readonly),
      ...[channel, tokenAccount(payer, mint), tokenAccount(channel, mint)].map(writable),
      ...[splToken.address, system.address, rentSysvar, associatedToken.address, eventAuthority, channelsProgram].map(readonly),
    ],
    data: joined([[discriminators.open], u64(salt), u64(deposit), u32(gracePeriod), u64(openSlot), writeShares(shares)]),
  }
}

/**
 * Ends a channel for its payee, at the voucher that the Ed25519 instruction right before it shows, or with no more than was settled. Until
 * the grace period is over the payee alone can do it.
 */
export function settleAndSealInstruction({
  payee,
  channel,
  hasVoucher,
}: {
  payee: string
  channel: string
  hasVoucher: boolean
}): Instruction {
  return {
    programAddress: address(channelsProgram),
    accounts: [{ address: address(payee), role: AccountRole.READONLY_SIGNER }, writable(channel), readonly(instructionsSysvar)],
    data: Uint8Array.of(discriminators.settleAndSeal, hasVoucher ? 1 : 0),
  }
}

/** What distributing a sealed channel takes. */
export type Distribution = Pick<ChannelSeeds, 'payer' | 'payee' | 'mint'> & {
  readonly network: string
  readonly channel: string
  readonly rentPayer: string
  readonly shares: readonly Share[]
}

/** Pays a sealed channel out: what was settled to those it was opened for, the rest back to its payer; nothing for a network without a treasury. */
export function distributeInstruction({ network, channel, payer, payee, rentPayer, mint, shares }: Distribution): Instruction | undefined {
  const treasury = treasuries[network]
  if (treasury === undefined) return undefined
  const holders = [channel, payer, payee, treasury].map((owner) => tokenAccount(owner, mint))
  return {
    programAddress: address(channelsProgram),
    accounts: [
      ...[channel, payer, rentPayer, ...holders].map(writable),
      ...[mint, splToken.address, eventAuthority, channelsProgram].map(readonly),
      ...shares.map(({ recipient }) => writable(tokenAccount(recipient, mint))),
    ],
    data: joined([[discriminators.distribute], writeShares(shares)]),
  }
}

/** Gives the rent of a distributed channel back; 1,500 slots after it was opened at the earliest. */
export function reclaimInstruction({ channel, rentPayer }: { readonly channel: string; readonly rentPayer: string }): Instruction {
  return {
    programAddress: address(channelsProgram),
    accounts: [channel, rentPayer].map(writable),
    data: Uint8Array.of(discriminators.reclaim),
  }
}

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
    distributionHash: data.slice(56, 88),
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

function writeShares(shares: readonly Share[]): Uint8Array {
  return joined([u32(shares.length), ...shares.flatMap(({ recipient, bps }) => [bytesOf(recipient), u16(bps)])])
}

function tokenAccount(owner: string, mint: string): string {
  return associatedTokenAddress({ owner: bytesOf(owner), mint: bytesOf(mint), program: splToken.bytes })
}

const readonly = (named: string) => ({ address: address(named), role: AccountRole.READONLY })
const writable = (named: string) => ({ address: address(named), role: AccountRole.WRITABLE })
const writableSigner = (named: string) => ({ address: address(named), role: AccountRole.WRITABLE_SIGNER })

function joined(parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

function u32(value: number): Uint8Array {
  return Uint8Array.from(new Uint8Array(Uint32Array.of(value).buffer))
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}
