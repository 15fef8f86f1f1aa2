import { AccountRole, type Address, address, type Instruction } from '@solana/kit'
import { associatedToken, splToken, system } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import { bytesOf, joined, u32, u64 } from './layout.ts'
import { type ChannelSeeds, channelAddress, channelsProgram, eventAuthority, type Share, writeShares } from './program.ts'

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

const discriminators = {
  open: 1,
  settle: 2,
  topUp: 3,
  settleAndSeal: 4,
  requestClose: 5,
  seal: 6,
  distribute: 7,
  withdrawPayer: 8,
  reclaim: 9,
} as const
const rentSysvar = 'SysvarRent111111111111111111111111111111111'
const instructionsSysvar = 'Sysvar1nstructions1111111111111111111111111'

/** Opens a channel and puts its deposit in. Its payer and whoever pays the rent sign. */
export function openInstruction({ rentPayer, deposit, gracePeriod, shares, ...seeds }: Opening): Instruction {
  const { payer, payee, mint, authorizedSigner, salt, openSlot } = seeds
  const channel = channelAddress(seeds)
  return instruction(
    [
      writableSigner(payer),
      writableSigner(rentPayer),
      ...[payee, mint, authorizedSigner].map(readonly),
      ...[channel, tokenAccount(payer, mint), tokenAccount(channel, mint)].map(writable),
      ...[splToken.address, system.address, rentSysvar, associatedToken.address, eventAuthority, channelsProgram].map(readonly),
    ],
    joined([[discriminators.open], u64(salt), u64(deposit), u32(gracePeriod), u64(openSlot), writeShares(shares)]),
  )
}

/** What stands in a channel's seeds and its own accounts are derived from. */
type Parties = Pick<ChannelSeeds, 'payer' | 'mint'> & { readonly channel: string }

/** Puts more into an open channel. Its payer signs. */
export function topUpInstruction({ payer, mint, channel, amount }: Parties & { readonly amount: bigint }): Instruction {
  return instruction(
    [
      writableSigner(payer),
      ...[channel, tokenAccount(payer, mint), tokenAccount(channel, mint)].map(writable),
      ...[mint, splToken.address].map(readonly),
    ],
    joined([[discriminators.topUp], u64(amount)]),
  )
}

/** Moves what is settled of an open channel to the voucher that the Ed25519 instruction right before it shows: exactly, whoever asks. */
export function settleInstruction(channel: string): Instruction {
  return instruction([writable(channel), readonly(instructionsSysvar)], Uint8Array.of(discriminators.settle))
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
  return instruction(
    [signer(payee), writable(channel), readonly(instructionsSysvar)],
    Uint8Array.of(discriminators.settleAndSeal, hasVoucher ? 1 : 0),
  )
}

/** What distributing takes. */
export type Distribution = Pick<ChannelSeeds, 'payer' | 'payee' | 'mint'> & {
  readonly network: string
  readonly channel: string
  readonly rentPayer: string
  readonly shares: readonly Share[]
}

/**
 * Pays out what was settled to those a channel was opened for, whoever asks; of a sealed one the rest goes back to its payer. Nothing for a
 * network without a treasury.
 */
export function distributeInstruction({ network, channel, payer, payee, rentPayer, mint, shares }: Distribution): Instruction | undefined {
  const treasury = treasuries[network]
  if (treasury === undefined) return undefined
  const holders = [channel, payer, payee, treasury].map((owner) => tokenAccount(owner, mint))
  return instruction(
    [
      ...[channel, payer, rentPayer, ...holders].map(writable),
      ...[mint, splToken.address, eventAuthority, channelsProgram].map(readonly),
      ...shares.map(({ recipient }) => writable(tokenAccount(recipient, mint))),
    ],
    joined([[discriminators.distribute], writeShares(shares)]),
  )
}

/** Its payer wants a channel closed: nothing but `settleAndSeal` settles from then on, and after the grace period nothing at all. He signs. */
export function requestCloseInstruction({ payer, channel }: Omit<Parties, 'mint'>): Instruction {
  return instruction([signer(payer), writable(channel)], Uint8Array.of(discriminators.requestClose))
}

/** Ends a channel at what was settled, once its grace period is over, whoever asks. */
export function sealInstruction(channel: string): Instruction {
  return instruction([writable(channel)], Uint8Array.of(discriminators.seal))
}

/** Takes what was not settled out of a sealed channel, without waiting for anybody to distribute it. Its payer signs. */
export function withdrawPayerInstruction({ payer, mint, channel }: Parties): Instruction {
  return instruction(
    [
      signer(payer),
      ...[channel, tokenAccount(channel, mint), tokenAccount(payer, mint)].map(writable),
      ...[mint, splToken.address].map(readonly),
    ],
    Uint8Array.of(discriminators.withdrawPayer),
  )
}

/** Gives the rent of a distributed channel back; 1,500 slots after it was opened at the earliest. */
export function reclaimInstruction({ channel, rentPayer }: { readonly channel: string; readonly rentPayer: string }): Instruction {
  return instruction([channel, rentPayer].map(writable), Uint8Array.of(discriminators.reclaim))
}

function instruction(accounts: readonly AccountMeta[], data: Uint8Array): Instruction {
  return { programAddress: address(channelsProgram), accounts, data }
}

function tokenAccount(owner: string, mint: string): string {
  return associatedTokenAddress({ owner: bytesOf(owner), mint: bytesOf(mint), program: splToken.bytes })
}

type AccountMeta = { readonly address: Address; readonly role: AccountRole }
const readonly = (named: string): AccountMeta => ({ address: address(named), role: AccountRole.READONLY })
const writable = (named: string): AccountMeta => ({ address: address(named), role: AccountRole.WRITABLE })
const signer = (named: string): AccountMeta => ({ address: address(named), role: AccountRole.READONLY_SIGNER })
const writableSigner = (named: string): AccountMeta => ({ address: address(named), role: AccountRole.WRITABLE_SIGNER })
