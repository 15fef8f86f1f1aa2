import { compactJws, jwsInput, type Proof, readJws, type StatementSigner, type StatementVerifier } from '@flow402x/core/receipt'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import { fastestEd25519 } from '../crypto/ed25519.ts'
import { type SecretKey, type SolanaSender, secretKeySender } from '../crypto/signer.ts'

/** What signing with a Solana account takes. */
export type SolanaStatementSignerOptions = {
  /** Networks whose payments it signs for; every Solana network unless told. */
  readonly networks?: readonly string[]
}

/**
 * Signs offers and receipts as a Solana account, as a JWS by Ed25519 whose `kid` is the account's own `did:key` (wire.md §16.4): the
 * wallet that is paid, or a key the seller names.
 *
 * Errors: `config/bad-secret-key`, `solana/bad-signature`.
 */
export function solanaStatementSigner(
  signer: SolanaSender | SecretKey,
  { networks = ['solana:*'] }: SolanaStatementSignerOptions = {},
): StatementSigner {
  const sender = typeof signer === 'string' || signer instanceof Uint8Array ? secretKeySender(signer) : signer
  const { address } = sender
  const publicKey = decodeBase58(address)
  if (publicKey?.length !== 32) throw solanaErrors('config/bad-secret-key', {})
  const did = `did:key:z${encodeBase58(Uint8Array.from([...ed25519Codec, ...publicKey]))}`
  return {
    address,
    networks,
    async sign({ payload }): Promise<Proof> {
      const input = jwsInput({ alg: 'EdDSA', kid: `${did}#${did.slice('did:key:'.length)}` }, payload)
      return { format: 'jws', signature: compactJws(input, await sender.sign(utf8.encode(input))) }
    },
  }
}

/** Says which Solana account signed an offer or a receipt as a JWS whose `kid` is a `did:key` of Ed25519. */
export function solanaStatementVerifier(): StatementVerifier {
  const crypto = fastestEd25519()
  return {
    async signerOf(_, { format, signature: text }) {
      const jws = format === 'jws' ? readJws(text) : undefined
      if (jws?.alg !== 'EdDSA') return undefined
      const publicKey = keyOf(jws.kid)
      const isTrue = publicKey && (await crypto.verify({ signature: jws.signature, message: jws.input, publicKey }))
      return isTrue ? encodeBase58(publicKey) : undefined
    },
  }
}

// The multicodec of Ed25519 public keys, as a varint.
const ed25519Codec = [0xed, 0x01]

function keyOf(kid: string): Uint8Array | undefined {
  const [, multibase = ''] = /^did:key:z([^#]+)(?:#.*)?$/.exec(kid) ?? []
  const bytes = multibase === '' ? undefined : decodeBase58(multibase)
  const isEd25519 = bytes?.length === 34 && ed25519Codec.every((part, index) => bytes[index] === part)
  return isEd25519 ? bytes.subarray(2) : undefined
}

const utf8 = new TextEncoder()
