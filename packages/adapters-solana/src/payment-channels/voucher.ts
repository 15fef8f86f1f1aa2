import { address, type Instruction } from '@solana/kit'
import { addressBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import type { Ed25519 } from '../crypto/ed25519.ts'

/** A voucher of the payment-channels program: everything up to `cumulative` (atomic), until `expiresAt` (Unix seconds; 0 for ever). */
export type ProgramVoucher = { readonly channelId: string; readonly cumulative: bigint; readonly expiresAt: bigint }

const magic = [0x56, 0x01]
const voucherBytes = 50

/** The 50 bytes that a voucher's key signs (wire.md §15). */
export function encodeVoucher({ channelId, cumulative, expiresAt }: ProgramVoucher): Uint8Array {
  const bytes = new Uint8Array(voucherBytes)
  bytes.set(magic)
  bytes.set(addressBytes(channelId) ?? new Uint8Array(32), 2)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(34, cumulative, true)
  view.setBigInt64(42, expiresAt, true)
  return bytes
}

/** Reads a voucher; nothing for other bytes. */
export function decodeVoucher(bytes: Uint8Array): ProgramVoucher | undefined {
  if (bytes.length !== voucherBytes || bytes[0] !== magic[0] || bytes[1] !== magic[1]) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    channelId: encodeBase58(bytes.subarray(2, 34)),
    cumulative: view.getBigUint64(34, true),
    expiresAt: view.getBigInt64(42, true),
  }
}

/** A voucher with the signature of its channel's `authorizedSigner`. */
export type SignedProgramVoucher = ProgramVoucher & { readonly signature: Uint8Array }

/** Whether a key signed a voucher that is good at `now` (Unix seconds). */
export async function isProgramVoucher(
  { signature, ...voucher }: SignedProgramVoucher,
  { signer, now, ed25519 }: { readonly signer: string; readonly now: bigint; readonly ed25519: Ed25519 },
): Promise<boolean> {
  if (voucher.expiresAt !== 0n && voucher.expiresAt <= now) return false
  const publicKey = addressBytes(signer)
  return publicKey !== undefined && (await ed25519.verify({ signature, message: encodeVoucher(voucher), publicKey }))
}

const ed25519Program = 'Ed25519SigVerify111111111111111111111111111'
const headBytes = 16
const [keyAt, signatureAt, messageAt, thisInstruction] = [headBytes, 48, 112, 0xffff]

/**
 * The instruction by which the chain checks a voucher's signature; it must stand right before the one that settles. All that it checks lies
 * in its own data, so no other instruction can be shown in its place.
 */
export function voucherCheckInstruction({ signature, ...voucher }: SignedProgramVoucher, signer: string): Instruction {
  const message = encodeVoucher(voucher)
  const data = new Uint8Array(messageAt + message.length)
  const view = new DataView(data.buffer)
  data[0] = 1
  const offsets = [signatureAt, thisInstruction, keyAt, thisInstruction, messageAt, message.length, thisInstruction]
  for (const [at, value] of offsets.entries()) view.setUint16(2 + at * 2, value, true)
  data.set(addressBytes(signer) ?? new Uint8Array(32), keyAt)
  data.set(signature, signatureAt)
  data.set(message, messageAt)
  return { programAddress: address(ed25519Program), accounts: [], data }
}
