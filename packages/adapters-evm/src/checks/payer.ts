import { type ClientScheme, findAsset, type PaymentRequirements, type Prepared, type PrepareOptions, parseNetwork } from '@flow402x/core'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { payerErrors } from '../crypto/errors.ts'
import type { EvmSigner } from '../crypto/signer.ts'
import { domainOf, transferMethodOf } from './signed.ts'

/** What paying on EVM chains takes, whatever the scheme. */
export type EvmPayerOptions = {
  readonly signer: EvmSigner
  /** CAIP-2 ids or friendly names to pay on; every EVM network unless told. */
  readonly networks?: readonly string[]
  /** Fills a fresh array with random bytes; the platform's own source unless told. */
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
}

/** With what a transfer is signed. */
export type SignOptions = PrepareOptions & Required<Pick<EvmPayerOptions, 'signer' | 'random'>>

/** One way to move a token for a payment; `name` as in `extra.assetTransferMethod`. */
export interface TransferMethod {
  readonly name: string
  /** Why terms that ask for it are not signed, if so. */
  refuse(requirements: PaymentRequirements): string | undefined
  /** Signs terms that it does not refuse. */
  sign(requirements: PaymentRequirements, options: SignOptions): Promise<Prepared | undefined>
}

/**
 * A payer on EVM chains, who needs tokens and no gas, and sends nothing. Where the request is known, the nonce commits to it (M2).
 *
 * Errors: `config/bad-address`, `config/no-signer`, `config/not-evm` at creation; `evm/unsupported-terms` and `evm/bad-signature` from
 * `prepare`, and whatever the signer throws.
 */
export function evmPayer(scheme: string, methods: readonly TransferMethod[], options: EvmPayerOptions): ClientScheme {
  const { signer, networks, random = (bytes) => crypto.getRandomValues(bytes) } = options
  const { address } = signer
  if (!isPayable(address)) throw payerErrors('config/bad-address', { option: 'signer.address', address })
  if (signer.sign === undefined && signer.signTypedData === undefined) {
    throw payerErrors('config/no-signer', { why: `${address} has neither sign nor signTypedData` })
  }
  const payable = networks?.map(evmNetwork)
  const choose = (requirements: PaymentRequirements): TransferMethod | string => {
    const { network } = requirements
    if (payable !== undefined && !payable.includes(network)) return `${network} is not among the networks to pay on`
    if (requirements.scheme !== scheme || chainIdOf(network) === undefined)
      return `${requirements.scheme} on ${network} is not ${scheme} on an EVM network`
    const asked = transferMethodOf(requirements)
    const method = methods.find(({ name }) => name === asked)
    return method === undefined ? `they ask for a transfer by ${asked}` : (method.refuse(requirements) ?? method)
  }
  return {
    scheme,
    networks: payable ?? ['eip155:*'],
    supports: (requirements) => typeof choose(requirements) === 'object',
    async prepare(requirements, given) {
      given.signal?.throwIfAborted()
      const method = choose(requirements)
      if (typeof method === 'string') throw payerErrors('evm/unsupported-terms', { why: method })
      const prepared = await method.sign(requirements, { ...given, signer, random })
      if (prepared === undefined) throw payerErrors('evm/unsupported-terms', { why: 'they are incomplete' })
      return prepared
    },
  }
}

/** Why nothing is signed by EIP-3009 for these terms: no domain, another than the token's own, or a token without authorizations. */
export function refuseEip3009(requirements: PaymentRequirements): string | undefined {
  const { network, asset, payTo } = requirements
  const domain = domainOf(requirements)
  if (domain === undefined) return 'extra has no EIP-712 name and version'
  if (!isAddress(asset) || !isPayable(payTo)) return 'asset or payTo is no address'
  const known = findAsset(network, asset)
  if (known === undefined) return undefined
  if (known.transfer !== 'eip3009') return `${known.symbol} on ${network} has no EIP-3009`
  // Signed in any other domain it would be void, or worth something elsewhere.
  const { eip712 } = known
  return eip712?.name === domain.name && eip712.version === domain.version
    ? undefined
    : `extra names the domain "${domain.name}" version "${domain.version}", but ${known.symbol} on ${network} is "${eip712?.name}" version "${eip712?.version}"`
}

function evmNetwork(name: string): string {
  const network = parseNetwork(name)
  if (chainIdOf(network) === undefined) throw payerErrors('config/not-evm', { network })
  return network
}
