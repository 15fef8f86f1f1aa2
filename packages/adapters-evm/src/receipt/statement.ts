import type { Proof, Statement, StatementSigner, StatementVerifier } from '@flow402x/core/receipt'
import { isAddress } from '../chain/address.ts'
import { type Hex, keccak, putUint, toBytes } from '../crypto/bytes.ts'
import { type StatementMessage, type TypedData, typedDigest } from '../crypto/eip712.ts'
import { payerErrors } from '../crypto/errors.ts'
import { addressOf, canonicalSignature, nobleSecp256k1, type Secp256k1 } from '../crypto/secp256k1.ts'
import { checksumAddress, type EvmSigner, signWith } from '../crypto/signer.ts'

/** What signing with an EVM account takes. */
export type EvmStatementSignerOptions = {
  /** Networks whose payments it signs for; every EVM network unless told. */
  readonly networks?: readonly string[]
}

/**
 * Signs offers and receipts as an EVM account, by EIP-712 (wire.md §16.4): the wallet that is paid, or a key the seller names.
 *
 * Errors: `config/bad-address`; when signing `evm/bad-signature` and whatever the signer throws.
 */
export function evmStatementSigner(signer: EvmSigner, { networks = ['eip155:*'] }: EvmStatementSignerOptions = {}): StatementSigner {
  if (!isAddress(signer.address)) throw payerErrors('config/bad-address', { option: 'signer.address', address: signer.address })
  const address = checksumAddress(signer.address)
  return {
    address,
    networks,
    async sign(statement): Promise<Proof> {
      const message = messageOf(statement)
      if (message === undefined) throw payerErrors('evm/unsupported-terms', { why: 'a number in what is to be signed is none' })
      const digest = digestOf(message)
      const signature = await signWith(signer, { digest: () => digest, typedData: () => typedDataOf(message) })
      // A smart wallet's own form of signature is not what readers of receipts can check.
      if (recover(digest, signature, nobleSecp256k1) !== address) throw payerErrors('evm/bad-signature', { address })
      return { format: 'eip712', signature }
    },
  }
}

/** Says which EVM account signed an offer or a receipt by EIP-712; `secp256k1` replaces the plain JavaScript curve by a faster one. */
export function evmStatementVerifier({ secp256k1 = nobleSecp256k1 }: { readonly secp256k1?: Secp256k1 } = {}): StatementVerifier {
  return {
    async signerOf(statement, { format, signature }) {
      const message = format === 'eip712' ? messageOf(statement) : undefined
      return message === undefined ? undefined : recover(digestOf(message), signature, secp256k1)
    },
  }
}

/** The address of whoever made a canonical signature: of each there is one spelling, so that a receipt is one text. */
function recover(digest: Uint8Array, signature: string, curve: Secp256k1): Hex | undefined {
  if (!/^0x[0-9a-fA-F]{130}$/.test(signature)) return undefined
  const canonical = canonicalSignature(toBytes(signature))
  const publicKey = canonical && curve.recover(digest, canonical)
  return publicKey && checksumAddress(addressOf(publicKey))
}

function messageOf(statement: Statement): StatementMessage | undefined {
  if (statement.kind === 'offer') {
    const { version, resourceUrl, scheme, network, asset, payTo, amount, validUntil = 0 } = statement.payload
    if (!Number.isSafeInteger(validUntil)) return undefined
    const numbers = { version: BigInt(version), validUntil: BigInt(validUntil) }
    return { primaryType: 'Offer', message: { ...numbers, resourceUrl, scheme, network, asset, payTo, amount } }
  }
  const { version, network, resourceUrl, payer, issuedAt, transaction = '' } = statement.payload
  if (!Number.isSafeInteger(issuedAt)) return undefined
  return {
    primaryType: 'Receipt',
    message: { version: BigInt(version), issuedAt: BigInt(issuedAt), network, resourceUrl, payer, transaction },
  }
}

type Field = { readonly name: string; readonly type: 'string' | 'uint256' }
const texts = (...names: readonly string[]): readonly Field[] => names.map((name) => ({ name, type: 'string' }))
const number = (name: string): Field => ({ name, type: 'uint256' })

// Type hashes of wire.md §20; the separators are those of "x402 offer" and "x402 receipt", version 1, chain 1 and no contract.
const forms = {
  Offer: {
    domain: 'x402 offer',
    type: '0x85143d3249b5e62ed5edd3d59a352d4e1181c775ff4f762f9c8a617f6bf1e97d',
    separator: '0x5dc92544087ab60aa57c539b9543f9282416b0dcf2c2ae0d4d0051052a9e61b6',
    fields: [number('version'), ...texts('resourceUrl', 'scheme', 'network', 'asset', 'payTo', 'amount'), number('validUntil')],
  },
  Receipt: {
    domain: 'x402 receipt',
    type: '0x616944bc4bb51b3d5fcbba8c559f76d57a93ac1e0d6659f1abbe95f92300c06f',
    separator: '0xfd7f8c81cdd24b25c99ba22e191cee41d8809abbc12e8fdbd42fddfa5bb9e406',
    fields: [number('version'), ...texts('network', 'resourceUrl', 'payer'), number('issuedAt'), ...texts('transaction')],
  },
} as const

function digestOf({ primaryType, message }: StatementMessage): Uint8Array {
  const { type, separator, fields } = forms[primaryType]
  const values = new Map<string, string | bigint>(Object.entries(message))
  const words = new Uint8Array(32 * (fields.length + 1))
  words.set(toBytes(type))
  for (const [index, { name }] of fields.entries()) {
    const value = values.get(name) ?? ''
    if (typeof value === 'bigint') putUint(words, value, 32 * (index + 1))
    else words.set(keccak(utf8.encode(value)), 32 * (index + 1))
  }
  return typedDigest(toBytes(separator), words)
}

function typedDataOf(statement: StatementMessage): TypedData {
  const { domain: name, fields } = forms[statement.primaryType]
  const types = { EIP712Domain: [...texts('name', 'version'), number('chainId')], [statement.primaryType]: fields }
  return { domain: { name, version: '1', chainId: 1 }, types, ...statement }
}

const utf8 = new TextEncoder()
