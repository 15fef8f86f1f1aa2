import { addressBytes, sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { recentBlockhashes, splToken, system } from '../chain/programs.ts'
import type { Transaction } from '../chain/transaction.ts'
import type { Ed25519 } from '../crypto/ed25519.ts'
import { accountsOf, bytesOf, type NonceChannel } from './channel.ts'

/** What a voucher of one epoch says: `nonce` is the value that the channel's nonce account stores (base58), `amount` is since then. */
export type EpochVoucher = { readonly nonce: string; readonly amount: bigint }

const advanceNonce = [4, 0, 0, 0]
const transferChecked = 12
const mostAmount = (1n << 64n) - 1n

// Where each account stands in the message. The order is this rail's own, and the same for ever: both sides build the bytes by themselves.
const at = { authority: 0, session: 1, nonce: 2, purse: 3, destination: 4, multisig: 5, asset: 6, system: 7, token: 8, sysvar: 9 } as const
const accountCount = 10
const headBytes = 5
const blockhashAt = headBytes + accountCount * 32
/** `AdvanceNonceAccount` and `TransferChecked` up to its amount. */
const instructionsHead = [
  2,
  ...[at.system, 3, at.nonce, at.sysvar, at.authority, 4, ...advanceNonce],
  ...[at.token, 6, at.purse, at.asset, at.destination, at.multisig, at.session, at.authority, 10, transferChecked],
]
const amountAt = blockhashAt + 32 + instructionsHead.length

/** How long the message of every voucher is. */
const voucherBytes = amountAt + 8 + 1 + 1

/**
 * The message that a voucher is a signature of (FS/1 §12.3): a v0 transaction that advances the channel's nonce and moves `amount` from the
 * purse to the receiver. It is built here byte by byte, for whoever compiles it another way signs something else.
 */
export function voucherMessage(
  channel: NonceChannel,
  { nonce, amount, decimals }: EpochVoucher & { readonly decimals: number },
): Uint8Array {
  const { id, purse, multisig, destination } = accountsOf(channel)
  const message = new Uint8Array(voucherBytes)
  // Version 0; two sign, of whom one is only read; five more are only read.
  message.set([0x80, 2, 1, 5, accountCount])
  const accounts = [channel.nonceAuthority, channel.session, id, purse, destination, multisig, channel.asset]
  const all = [...accounts, system.address, splToken.address, recentBlockhashes.address]
  for (const [index, account] of all.entries()) message.set(bytesOf(account), headBytes + index * 32)
  message.set(bytesOf(nonce), blockhashAt)
  message.set(instructionsHead, blockhashAt + 32)
  new DataView(message.buffer).setBigUint64(amountAt, amount, true)
  message[amountAt + 8] = decimals
  // The last byte says that there are no lookup tables.
  return message
}

/** Whether a voucher can be written down at all. */
export function isAmount(amount: bigint): boolean {
  return amount > 0n && amount <= mostAmount
}

/** What is to be checked: a voucher, and the signature that came with it. */
export type SignedVoucher = EpochVoucher & { readonly signature: Uint8Array }

/** Whether the session key of a channel signed a voucher: one signature over bytes that are built here. */
export async function isVoucher(
  channel: NonceChannel,
  { signature, ...voucher }: SignedVoucher & { readonly decimals: number },
  { ed25519 }: { readonly ed25519: Ed25519 },
): Promise<boolean> {
  if (!isAmount(voucher.amount) || addressBytes(voucher.nonce) === undefined) return false
  return await ed25519.verify({ signature, message: voucherMessage(channel, voucher), publicKey: bytesOf(channel.session) })
}

/** The transaction that settles a voucher, for the nonce's authority to sign: its slot is empty. */
export function voucherTransaction(
  channel: NonceChannel,
  { signature, ...voucher }: SignedVoucher & { readonly decimals: number },
): Uint8Array {
  return Uint8Array.from([2, ...new Uint8Array(64), ...signature, ...voucherMessage(channel, voucher)])
}

/** What a transaction moves that is a voucher of this channel to the last byte; nothing for any other. */
export function readVoucher(channel: NonceChannel, { message, blockhash }: Transaction): (EpochVoucher & { decimals: number }) | undefined {
  if (message.length !== voucherBytes) return undefined
  const amount = new DataView(message.buffer, message.byteOffset).getBigUint64(amountAt, true)
  const decimals = message[amountAt + 8] ?? 0
  const nonce = encodeBase58(blockhash)
  return sameBytes(message, voucherMessage(channel, { nonce, amount, decimals })) ? { nonce, amount, decimals } : undefined
}
