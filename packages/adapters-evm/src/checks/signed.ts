import { type PaymentRequirements, type Submission, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { bytesText, chainIdOf } from '../chain/address.ts'
import type { TokenDomain } from '../crypto/eip712.ts'

/** An unsigned integer of a contract, as decimal text on the wire. */
export const uint256 = z.pipe(
  z.string().check(z.regex(/^\d{1,78}$/)),
  z.pipe(
    z.transform((digits: string) => BigInt(digits)),
    z.bigint().check(z.lt(1n << 256n)),
  ),
)

/** A signature; a smart wallet's is a few hundred bytes and seldom two thousand, and the header limit is near 3,000. */
export const signatureSchema = bytesText(4096)

// A settlement needs a moment to be mined (wire.md §21); clocks differ by at most a minute (M12).
const leastSeconds = 6n
const skewSeconds = 60n

/** In which way a signed window does not do: it ends too soon, begins later, or keeps the money in doubt for longer than was asked (M12). */
export function windowFault(
  { from, until }: { readonly from: bigint; readonly until: bigint },
  { requirements, now }: { readonly requirements: PaymentRequirements; readonly now: number },
): { readonly end: 'until' | 'from'; readonly message: string } | undefined {
  const seconds = BigInt(Math.floor(now))
  if (until < seconds + leastSeconds) return { end: 'until', message: 'It expires too soon or has expired.' }
  if (until > seconds + BigInt(Math.ceil(requirements.maxTimeoutSeconds)) + skewSeconds)
    return { end: 'until', message: 'It is valid for longer than maxTimeoutSeconds.' }
  return from > seconds ? { end: 'from', message: 'It is not valid yet.' } : undefined
}

/** Whether both sides of a submission speak of one asset. */
export function isOneAsset({ payment, requirements }: Submission): boolean {
  return sameAddress(payment.accepted.asset, requirements.asset)
}

/** A time as a number of seconds. Above what is exact a signature lives for ever in any case. */
export function toSeconds(time: bigint): number {
  return time > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(time)
}

/** How a token is moved, as requirements ask for it: by EIP-3009 where they do not say (wire.md §8). */
export function transferMethodOf({ extra }: PaymentRequirements): unknown {
  return extra?.assetTransferMethod ?? 'eip3009'
}

/** The EIP-712 name and version in `extra`, if both are there. */
export function domainOf({ extra }: PaymentRequirements): { readonly name: string; readonly version: string } | undefined {
  const { name, version } = extra ?? {}
  // Asked several times for each payment: a schema takes ten times as long.
  return typeof name === 'string' && typeof version === 'string' && name !== '' && version !== '' ? { name, version } : undefined
}

/** The EIP-712 domain of the token that requirements ask for, where they say it. */
export function tokenDomain(requirements: PaymentRequirements): TokenDomain | undefined {
  const chainId = chainIdOf(requirements.network)
  const domain = domainOf(requirements)
  return chainId === undefined || domain === undefined ? undefined : { ...domain, chainId, verifyingContract: requirements.asset }
}
