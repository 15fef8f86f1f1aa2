import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils'
import * as z from 'zod/mini'
import { addressBytes, addressSchema } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { type Program, splToken, system } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'

/**
 * What a channel of `flow402x-nonce` is made from (FS/1 §12.3). Its three accounts are derived from all of it, so that none can stand for
 * other terms; `salt` is 16 bytes in hex, which lets one payer have several channels to one receiver.
 */
export const nonceChannel = z.object({
  payer: addressSchema,
  /** Signs vouchers and nothing else. */
  session: addressSchema,
  /** Brings vouchers to the chain, and pays for that. */
  nonceAuthority: addressSchema,
  receiver: addressSchema,
  asset: addressSchema,
  salt: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
})

/** What a channel of `flow402x-nonce` is made from (FS/1 §12.3). */
export type NonceChannel = z.infer<typeof nonceChannel>

/**
 * The accounts of a channel. `id` is its nonce account, and so its name; `purse` holds the payer's money, of which `multisig` may take what
 * he approved: together the session key and the nonce's authority, and neither alone.
 */
export type ChannelAccounts = {
  readonly id: string
  readonly purse: string
  readonly multisig: string
  /** The receiver's token account. */
  readonly destination: string
}

const label = new TextEncoder().encode('flow402x-nonce/1')
const known = new Map<string, ChannelAccounts>()
const mostKnown = 4096

/** The accounts of a channel. */
export function accountsOf(channel: NonceChannel): ChannelAccounts {
  const text = textOf(channel)
  const found = known.get(text)
  if (found !== undefined) return found
  const derived = {
    id: derivedFrom(channel, 'nonce'),
    purse: derivedFrom(channel, 'purse'),
    multisig: derivedFrom(channel, 'multisig'),
    destination: associatedTokenAddress({ owner: bytesOf(channel.receiver), mint: bytesOf(channel.asset), program: splToken.bytes }),
  }
  if (known.size >= mostKnown) known.clear()
  known.set(text, derived)
  return derived
}

/** The name of a channel. */
export function channelIdOf(channel: NonceChannel): string {
  return accountsOf(channel).id
}

/** Which of a channel's own accounts. */
export type OwnAccount = 'nonce' | 'purse' | 'multisig'

/** The program that keeps an account of a channel. */
export function keeperOf(which: OwnAccount): Program {
  return which === 'nonce' ? system : splToken
}

/**
 * The seed of an account, in 32 letters: nobody can open an account at an address derived from a payer's without his signature, and none
 * but this channel's own terms lead to it.
 */
export function seedOf(channel: NonceChannel, which: OwnAccount): string {
  const { session, nonceAuthority, receiver, asset, salt } = channel
  const parts = [session, nonceAuthority, receiver, asset].map(bytesOf)
  return bytesToHex(sha256(joined([label, new TextEncoder().encode(which), ...parts, hexToBytes(salt)]))).slice(0, 32)
}

/** The text that names a channel's terms: the same for the same channel. */
export function textOf({ payer, session, nonceAuthority, receiver, asset, salt }: NonceChannel): string {
  return [payer, session, nonceAuthority, receiver, asset, salt].join('/')
}

/** Reads `textOf` back; nothing for other text. */
export function channelFrom(text: string): NonceChannel | undefined {
  const [payer, session, nonceAuthority, receiver, asset, salt, ...more] = text.split('/')
  const parsed = z.safeParse(nonceChannel, { payer, session, nonceAuthority, receiver, asset, salt })
  return parsed.success && more.length === 0 ? parsed.data : undefined
}

// An address with a seed: the hash of base, seed and the program that is to keep it.
function derivedFrom(channel: NonceChannel, which: OwnAccount): string {
  const seed = new TextEncoder().encode(seedOf(channel, which))
  return encodeBase58(sha256(joined([bytesOf(channel.payer), seed, keeperOf(which).bytes])))
}

/** The bytes of an address that a schema has checked. */
export function bytesOf(address: string): Uint8Array {
  return addressBytes(address) ?? new Uint8Array(32)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}
