import { type ClientScheme, findAsset, type PaymentRequirements, parseNetwork } from '@flow402x/core'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { toHex } from '../crypto/bytes.ts'
import { type Authorization, transferDigest, transferTypedData } from '../crypto/eip712.ts'
import { type EvmSigner, signWith } from '../crypto/signer.ts'
import { committingNonce, nonceSalt } from './commitment.ts'
import { tokenDomain } from './signature.ts'
import { domainOf, isEip3009, keyOf } from './wire.ts'

/** What paying by `exact` on EVM chains takes. */
export type ExactEvmClientOptions = {
  readonly signer: EvmSigner
  /** CAIP-2 ids or friendly names to pay on; every EVM network unless told. */
  readonly networks?: readonly string[]
  /** Fills a fresh array with random bytes; the platform's own source unless told. */
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
}

/**
 * Pays by a signed EIP-3009 authorization (x402 `exact` on EVM): the payer needs tokens and no gas, and sends nothing. Where the
 * request is known, the nonce commits to it (M2).
 *
 * Errors: `config/bad-address`, `config/no-signer` and `config/not-evm` at creation; `evm/unsupported-terms` and `evm/bad-signature` from
 * `prepare`, and whatever the signer throws.
 */
export function exactEvmClient({
  signer,
  networks,
  random = (bytes) => crypto.getRandomValues(bytes),
}: ExactEvmClientOptions): ClientScheme {
  const { address } = signer
  if (!isPayable(address)) throw evmErrors('config/bad-address', { option: 'signer.address', address })
  if (signer.sign === undefined && signer.signTypedData === undefined) {
    throw evmErrors('config/no-signer', { why: `${address} has neither sign nor signTypedData` })
  }
  const payable = networks?.map(evmNetwork)
  const refuse = (requirements: PaymentRequirements) => {
    if (payable !== undefined && !payable.includes(requirements.network))
      return `${requirements.network} is not among the networks to pay on`
    return refuseTerms(requirements)
  }
  return {
    scheme: 'exact',
    networks: payable ?? ['eip155:*'],
    supports: (requirements) => refuse(requirements) === undefined,
    async prepare(requirements, { now, maxTimeoutSeconds, binding, signal }) {
      signal?.throwIfAborted()
      const why = refuse(requirements)
      const domain = tokenDomain(requirements)
      const to = requirements.payTo
      if (why !== undefined || domain === undefined || !isAddress(to))
        throw evmErrors('evm/unsupported-terms', { why: why ?? 'they are incomplete' })
      const authorization: Authorization = {
        from: address,
        to,
        value: BigInt(requirements.amount),
        validAfter: 0n,
        validBefore: BigInt(Math.floor(now) + Math.floor(maxTimeoutSeconds)),
        nonce: binding === undefined ? toHex(random(new Uint8Array(32))) : committingNonce(random(new Uint8Array(nonceSalt)), binding),
      }
      const signature = await signWith(signer, {
        digest: () => transferDigest(domain, authorization),
        typedData: () => transferTypedData(domain, authorization),
      })
      return { payload: { signature, authorization: toWire(authorization) }, key: keyOf(authorization, requirements) }
    },
  }
}

function evmNetwork(name: string): string {
  const network = parseNetwork(name)
  if (chainIdOf(network) === undefined) throw evmErrors('config/not-evm', { network })
  return network
}

function refuseTerms(requirements: PaymentRequirements): string | undefined {
  const { scheme, network, asset, payTo } = requirements
  if (scheme !== 'exact' || chainIdOf(network) === undefined) return `${scheme} on ${network} is not exact on an EVM network`
  if (!isEip3009(requirements)) return 'they do not ask for EIP-3009'
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

function toWire({ from, to, value, validAfter, validBefore, nonce }: Authorization) {
  return { from, to, value: `${value}`, validAfter: `${validAfter}`, validBefore: `${validBefore}`, nonce }
}
