import { type Asset, assets, sameAddress } from '@flow402x/core'
import { tokenErrors } from '@flow402x/core/token'
import { isAddress } from '../chain/address.ts'
import type { Hex } from '../crypto/bytes.ts'
import { checksumAddress } from '../crypto/signer.ts'

// Zero, and the small addresses behind which precompiled functions stand: what is sent there is gone.
const firstAccount = 0x1_0000n

/**
 * A recipient as an address that can be meant: none that nobody has, none of the sender himself or of a token, and none whose mixed
 * case says that a letter of it is wrong (EIP-55). In lower case.
 *
 * Errors: `token/bad-recipient`.
 */
export function checkedRecipient(recipient: string, { asset, sender }: { readonly asset: Asset; readonly sender: string }): Hex {
  const bad = (why: string) => tokenErrors('token/bad-recipient', { recipient, why })
  if (!isAddress(recipient)) throw bad('it is no EVM address: give 0x and 40 hex digits')
  if (BigInt(recipient) < firstAccount) throw bad('it is the address of nobody')
  const digits = recipient.slice(2)
  const isMixed = digits !== digits.toLowerCase() && digits !== digits.toUpperCase()
  if (isMixed && recipient !== checksumAddress(recipient))
    throw bad('its mixed case is not that of EIP-55, so that a letter of it is wrong')
  if (sameAddress(recipient, sender)) throw bad('it is the sender himself')
  if ([asset, ...assets].some(({ network, address }) => network === asset.network && sameAddress(address, recipient)))
    throw bad('it is the contract of a token, which never gives anything back')
  return `0x${digits.toLowerCase()}`
}
