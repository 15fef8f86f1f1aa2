import { sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { splToken } from '../chain/programs.ts'
import { type StoredAccount, storedNonce } from '../chain/reader.ts'
import { accountsOf, bytesOf, type NonceChannel } from './channel.ts'

/** The bytes of a nonce account, of a token account and of a multisig. */
export const accountBytes = { nonce: 80, purse: 165, multisig: 355 } as const

/** The nonce that a channel's account stores, in base58; nothing for an account that is not there, or obeys another authority. */
export function nonceOf(account: StoredAccount | undefined, { nonceAuthority }: NonceChannel): string | undefined {
  const stored = account && storedNonce(account)
  return stored !== undefined && sameBytes(stored.authority, bytesOf(nonceAuthority)) ? encodeBase58(stored.nonce) : undefined
}

/** Whether the account that may take money needs both signatures, of the session key and of the nonce's authority, and no other will do. */
export function isMultisig(account: StoredAccount | undefined, { session, nonceAuthority }: NonceChannel): boolean {
  const { owner, data } = account ?? { data: new Uint8Array() }
  const [two, ofTwo, initialized] = data
  const signers = [session, nonceAuthority].map(bytesOf)
  return (
    owner === splToken.address &&
    data.length === accountBytes.multisig &&
    [two, ofTwo, initialized].join() === '2,2,1' &&
    signers.every((signer, index) => sameBytes(data.subarray(3 + index * 32, 35 + index * 32), signer))
  )
}

/**
 * What vouchers can take out of a channel's purse, in atomic units: as much as is there and as was approved, and nothing once the payer has
 * revoked, taken the purse away or been frozen.
 */
export function spendable(account: StoredAccount | undefined, channel: NonceChannel): bigint {
  const { owner, data } = account ?? { data: new Uint8Array() }
  if (owner !== splToken.address || data.length !== accountBytes.purse) return 0n
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const isUsable =
    sameBytes(data.subarray(0, 32), bytesOf(channel.asset)) &&
    sameBytes(data.subarray(32, 64), bytesOf(channel.payer)) &&
    view.getUint32(72, true) === 1 &&
    sameBytes(data.subarray(76, 108), bytesOf(accountsOf(channel).multisig)) &&
    data[108] === 1
  if (!isUsable) return 0n
  const [held, approved] = [view.getBigUint64(64, true), view.getBigUint64(121, true)]
  if (held < approved) return held
  return approved
}
