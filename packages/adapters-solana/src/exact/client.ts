import { type ClientScheme, type PaymentRequirements, parseNetwork } from '@flow402x/core'
import { bytesToHex } from '@noble/hashes/utils'
import { addressBytes, isAddress, isSolana, sameBytes } from '../chain/address.ts'
import { encodeBase64 } from '../chain/base64.ts'
import { solanaErrors } from '../chain/errors.ts'
import { splToken, token2022 } from '../chain/programs.ts'
import type { SolanaReader } from '../chain/reader.ts'
import { decodeTransaction, type Transaction, withSignature } from '../chain/transaction.ts'
import type { SolanaSigner } from '../crypto/wallet.ts'
import { buildTransaction } from './build.ts'
import { isRefusal, readLayout, refuseTransfer } from './layout.ts'
import { createSight } from './look.ts'
import { keyOf, type MintFacts, mintFactsOf, readExtra } from './wire.ts'

/** What paying by `exact` on Solana takes. */
export type ExactSolanaClientOptions = {
  readonly signer: SolanaSigner
  /** CAIP-2 ids or friendly names to pay on; every Solana network unless told. A `reader` stands on one of them: name that one. */
  readonly networks?: readonly string[]
  /**
   * Asked for what an offer does not say: a recent blockhash, and the facts of a mint that is in no table. Never asked for what it says.
   * One with a connection of its own tells what became of payments as well.
   */
  readonly reader?: SolanaReader
  /** Fills a fresh array with random bytes; the platform's own source unless told. */
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
}

/**
 * Pays by a signed transfer whose fee the facilitator pays (x402 `exact` on Solana, wire.md §14): the payer needs tokens and no SOL, and
 * sends nothing. Offers that carry a blockhash cost no RPC call.
 *
 * Errors: `config/bad-address`, `config/no-signer`, `config/not-solana` at creation; from `prepare` `solana/unsupported-terms`,
 * `solana/bad-signature`, `solana/altered`, those of the reader, and whatever the signer throws.
 */
export function exactSolanaClient(options: ExactSolanaClientOptions): ClientScheme {
  const { signer, reader, random = (bytes) => crypto.getRandomValues(bytes) } = options
  if (!isAddress(signer.address)) throw solanaErrors('config/bad-address', { option: 'signer.address', address: signer.address })
  if (signer.sign === undefined && signer.signTransaction === undefined)
    throw solanaErrors('config/no-signer', { why: `${signer.address} has neither sign nor signTransaction` })
  const payable = options.networks?.map(solanaNetwork)
  const refuse = (requirements: PaymentRequirements): string | undefined => {
    if (payable !== undefined && !payable.includes(requirements.network))
      return `${requirements.network} is not among the networks to pay on`
    return refuseTerms(requirements, { payer: signer.address, reader })
  }
  return {
    scheme: 'exact',
    networks: payable ?? ['solana:*'],
    supports: (requirements) => refuse(requirements) === undefined,
    ...(reader?.rpc === undefined ? {} : { look: createSight(reader.rpc).look }),
    async prepare(requirements, { now, signal }) {
      signal?.throwIfAborted()
      const why = refuse(requirements)
      const extra = readExtra(requirements)
      const mint = mintFactsOf(requirements) ?? (await mintFacts(requirements, { reader, signal }))
      const recent = extra?.recentBlockhash ?? (await reader?.recentBlockhash({ signal }))?.blockhash
      if (why !== undefined || extra === undefined || mint === undefined || recent === undefined)
        throw solanaErrors('solana/unsupported-terms', { why: why ?? 'the asset is no token with a mint on this chain' })
      const { payTo, asset, amount, network } = requirements
      const memo = extra.memo ?? bytesToHex(random(new Uint8Array(16)))
      const wanted = {
        payTo,
        asset,
        mint,
        memo,
        feePayer: extra.feePayer,
        payer: signer.address,
        amount: BigInt(amount),
        blockhash: recent,
      }
      const unsigned = decodeTransaction(buildTransaction(wanted))
      const signed = unsigned && (await sign(signer, { unsigned, requirements, mint }))
      const key = signed && keyOf(signed, { network, now })
      if (signed === undefined || key === undefined) throw solanaErrors('solana/bad-signature', { address: signer.address })
      return { payload: { transaction: encodeBase64(signed.bytes) }, key }
    },
  }
}

function solanaNetwork(name: string): string {
  const network = parseNetwork(name)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  return network
}

type Payer = { readonly payer: string; readonly reader: SolanaReader | undefined }

const mostAmount = 2n ** 64n

function refuseTerms(requirements: PaymentRequirements, { payer, reader }: Payer): string | undefined {
  const { scheme, network, asset, payTo, amount } = requirements
  if (scheme !== 'exact' || !isSolana(network)) return `${scheme} on ${network} is not exact on Solana`
  const extra = readExtra(requirements)
  if (extra === undefined) return 'extra has no feePayer, or a member of it cannot be read'
  if (!isAddress(asset) || !isAddress(payTo)) return 'asset or payTo is no address'
  if (extra.feePayer === payer) return 'the fee payer would be the payer'
  if (payTo === payer) return 'the payee would be the payer'
  if (BigInt(amount) >= mostAmount) return 'the amount is more than a token account can hold'
  if (reader !== undefined) return undefined
  if (extra.recentBlockhash == null) return 'the offer names no recent blockhash, and there is no reader to ask'
  return mintFactsOf(requirements) === undefined ? 'the mint is in no table, and there is no reader to ask' : undefined
}

// Where the mint's decimals stand in its account, which both token programs lay out alike.
const decimalsAt = 44

/** The facts of a mint that is in no table, by its account. */
export async function mintFacts(
  { asset }: PaymentRequirements,
  { reader, signal }: { readonly reader: SolanaReader | undefined; readonly signal: AbortSignal | undefined },
): Promise<MintFacts | undefined> {
  const account = await reader?.account(asset, { signal })
  const program = [splToken, token2022].find(({ address }) => address === account?.owner)
  const decimals = account?.data[decimalsAt]
  const mint = addressBytes(asset)
  return program === undefined || decimals === undefined || mint === undefined ? undefined : { mint, program, decimals }
}

type Signing = { readonly unsigned: Transaction; readonly requirements: PaymentRequirements; readonly mint: MintFacts }

async function sign(signer: SolanaSigner, { unsigned, requirements, mint }: Signing): Promise<Transaction | undefined> {
  if (signer.sign !== undefined) {
    const signature = await signer.sign(unsigned.message)
    return signature.length === 64 ? decodeTransaction(withSignature(unsigned, { signature, signer: 1 })) : undefined
  }
  const bytes = await signer.signTransaction?.(unsigned.bytes)
  const signed = bytes && decodeTransaction(bytes)
  if (signed === undefined || signed.signatures[1]?.every((byte) => byte === 0) !== false) return undefined
  const why = alteration(signed, { unsigned, requirements, mint })
  if (why !== undefined) throw solanaErrors('solana/altered', { address: signer.address, why })
  return signed
}

/** Wallets add assertions and set fees; whom a transaction pays, and what, is not theirs to change (H6, H19). */
function alteration(signed: Transaction, { unsigned, requirements, mint }: Signing): string | undefined {
  const same = [0, 1].every((at) => sameBytes(signed.accounts[at] ?? new Uint8Array(), unsigned.accounts[at] ?? new Uint8Array()))
  if (!same || signed.signatures.length !== unsigned.signatures.length) return 'it has other signers'
  if (signed.lookups.length > 0) return 'it hides accounts in lookup tables'
  const layout = readLayout(signed, signed.accounts)
  const refusal = isRefusal(layout) ? layout : refuseTransfer(layout, { transaction: signed, requirements, mint })
  return refusal === undefined ? undefined : `it would be refused as ${refusal.reason}`
}
