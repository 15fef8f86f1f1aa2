import type { PaymentRequirements } from '@flow402x/core'
import { chainIdOf } from '../chain/address.ts'
import type { TokenDomain } from '../crypto/eip712.ts'
import { domainOf } from './wire.ts'

/** The EIP-712 domain of the token that requirements ask for, where they say it. */
export function tokenDomain(requirements: PaymentRequirements): TokenDomain | undefined {
  const chainId = chainIdOf(requirements.network)
  const domain = domainOf(requirements)
  return chainId === undefined || domain === undefined ? undefined : { ...domain, chainId, verifyingContract: requirements.asset }
}
