import { type ClientScheme, isX402Error, type PaymentRequirements, type Prepared, parseNetwork, pause } from '@flow402x/core'
import { keyOfTransfer, referenceIn, referenceTag, transferProof, transferSight } from '@flow402x/core/transfer'
import * as z from 'zod/mini'
import { isAddress, isSolana, sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { decodeBase64, encodeBase64 } from '../chain/base64.ts'
import { broadcast, confirmations, mined } from '../chain/confirmation.ts'
import { solanaErrors } from '../chain/errors.ts'
import { system } from '../chain/programs.ts'
import { readerOf } from '../chain/reader.ts'
import { httpRpc, inContext, type Rpc } from '../chain/rpc.ts'
import { decodeTransaction, type Transaction, withSignature } from '../chain/transaction.ts'
import { assertSafeSigners } from '../crypto/local-safety.ts'
import type { SolanaSigner } from '../crypto/wallet.ts'
import { mintFacts } from '../exact/client.ts'
import { mintFactsOf } from '../exact/wire.ts'
import { buildTransfer } from './build.ts'
import { devnet, solanaTransfers } from './see.ts'

/** What paying by `transfer-proof` on Solana takes. */
export type TransferProofSolanaClientOptions = {
  readonly signer: SolanaSigner
  /** The node that transfers are sent to, and asked of. */
  readonly rpcUrl: string
  /** A CAIP-2 id, or a friendly name such as "solana"; devnet unless told. */
  readonly network?: string
  /** Answers the plain challenge as well (DESIGN §8.3), which names neither network nor asset: SOL on `network`. Off unless told. */
  readonly plain?: boolean
  /** How long a transfer that was sent is waited for, in milliseconds; 90,000 unless told, in which it is mined or expires. */
  readonly patience?: number
  /** How long it waits between two looks at it, in milliseconds; 400 unless told. */
  readonly pollMs?: number
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/**
 * Pays by transfers of SOL and of tokens that it makes itself (`transfer-proof`, DESIGN §7): signed and written down before anything is
 * sent, and sent again byte for byte until they are mined or dead.
 *
 * Errors: `config/bad-address`, `config/no-signer`, `config/not-solana`, `config/bad-rpc-url`, `config/unsafe-local-key` at creation;
 * from `prepare` `solana/unsupported-terms`, `solana/transfer-refused`, `solana/bad-signature`, `solana/altered`; from `send`
 * `solana/transfer-failed`, `solana/transfer-unknown`; those of the RPC.
 */
export function transferProofSolanaClient(options: TransferProofSolanaClientOptions): ClientScheme {
  const { signer, rpcUrl, patience = 90_000, pollMs = 400, fetch, timeoutMs = 10_000, clock = Date.now } = options
  const network = parseNetwork(options.network ?? devnet)
  if (!isSolana(network)) throw solanaErrors('config/not-solana', { network })
  if (!isAddress(signer.address)) throw solanaErrors('config/bad-address', { option: 'signer.address', address: signer.address })
  if (signer.sign === undefined && signer.signTransaction === undefined)
    throw solanaErrors('config/no-signer', { why: `${signer.address} has neither sign nor signTransaction` })
  assertSafeSigners({ network, rpcUrl, signers: [signer.address] })
  const rpc = httpRpc({ url: rpcUrl, fetch, timeoutMs })
  const { status } = confirmations(rpc)
  return {
    scheme: transferProof,
    networks: [network],
    supports: (requirements) => refuse(requirements, { network, payer: signer.address }) === undefined,
    ...(options.plain === true ? { readChallenge: (body) => readPlain(body, network) } : {}),
    look: transferSight(solanaTransfers(rpc, { network, confirmations: 'finalized' }), { clock }).look,
    async prepare(requirements, { now, signal }) {
      const why = refuse(requirements, { network, payer: signer.address, now })
      const given = referenceIn(requirements)
      if (why !== undefined || given === undefined) throw solanaErrors('solana/unsupported-terms', { why: why ?? noReference })
      const { reference, deadAfter = now + plainLife } = given
      const unsigned = await build(rpc, { requirements, payer: signer.address, tag: encodeBase58(await referenceTag(reference)), signal })
      await rehearse(rpc, unsigned, signal)
      const signed = await sign(signer, unsigned)
      const transaction = encodeBase58(signed.signatures[0] ?? new Uint8Array())
      return {
        payload: { transaction, reference },
        key: { ...keyOfTransfer(transaction, network), payer: signer.address, deadAfter },
        transfer: encodeBase64(signed.bytes),
        ...(requirements.extra?.plain === true ? { headers: plainHeaders(transaction, reference) } : {}),
      }
    },
    async send(prepared, requirements, { signal } = {}) {
      const { transaction, bytes } = writtenDown(prepared)
      const until = clock() + patience
      for (let sentAt = 0; ; ) {
        const found = await status({ transaction, bytes })
        if (found.state === 'expired')
          throw solanaErrors('solana/transfer-failed', { transaction, why: 'its time is over and it was never mined' })
        if (found.state === 'mined' && !found.success)
          throw solanaErrors('solana/transfer-failed', { transaction, why: 'it failed on the chain' })
        if (found.state === 'mined' && (await isDeep(rpc, { transaction, requirements, signal }))) return
        // Mined later than its reference allows it would be owed back: what may never have been sent is not sent any more.
        const inTime = clock() / 1000 < (referenceIn(requirements)?.until ?? Number.POSITIVE_INFINITY) - sendMargin
        if (found.state === 'unknown' && inTime && clock() - sentAt > resendAfter) {
          await broadcast(rpc, { bytes, transaction }).catch((error: unknown) => {
            // Nodes refuse for a while what they take a moment later; whether it lives is asked of the chain.
            if (!isX402Error(error)) throw error
          })
          sentAt = clock()
        }
        if (clock() > until) throw solanaErrors('solana/transfer-unknown', { transaction })
        await pause(pollMs, signal)
      }
    },
  }
}

// How often the bytes are sent anew; how long a transfer needs at most to be mined once it was sent.
const resendAfter = 2_000
const sendMargin = 15
const mostAmount = 2n ** 64n

type Payer = { readonly network: string; readonly payer: string; readonly now?: number }

function refuse(requirements: PaymentRequirements, payer: Payer): string | undefined {
  const { scheme, network, asset, payTo, amount } = requirements
  if (scheme !== transferProof || network !== payer.network) return `${scheme} on ${network} is not ${transferProof} on ${payer.network}`
  const given = referenceIn(requirements)
  if (given === undefined) return noReference
  if (payer.now !== undefined && (given.until ?? Number.POSITIVE_INFINITY) - sendMargin <= payer.now)
    return 'its reference is over, or so soon that a transfer could come too late'
  if (!isAddress(asset) || !isAddress(payTo)) return 'asset or payTo is no address'
  if (payTo === payer.payer) return 'the payee would be the payer'
  return BigInt(amount) < mostAmount ? undefined : 'the amount is more than an account can hold'
}

const noReference = 'extra.reference is no reference of 32 bytes in hex'
// How long a transfer for a plain challenge of others counts as unspent, where nothing is heard of it.
const plainLife = 86_400

const plainChallenge = z.looseObject({
  receiver: z.string().check(z.refine(isAddress)),
  amount_lamports: z.pipe(z.union([z.int().check(z.positive()), z.string().check(z.regex(/^[1-9]\d{0,19}$/))]), z.transform(String)),
  reference: z.string(),
})

/** What the plain challenge asks: SOL, on the network that its payer has set up. */
function readPlain(body: unknown, network: string): PaymentRequirements | undefined {
  const { receiver, amount_lamports: amount, reference } = z.safeParse(plainChallenge, body).data ?? {}
  if (receiver === undefined || amount === undefined || reference === undefined) return undefined
  const extra = { reference, plain: true }
  return { scheme: transferProof, network, amount, asset: system.address, payTo: receiver, maxTimeoutSeconds: 300, extra }
}

function plainHeaders(transaction: string, reference: string): Readonly<Record<string, string>> {
  return { 'X-Payment-Signature': transaction, 'X-Payment-Reference': reference }
}

type Building = {
  readonly requirements: PaymentRequirements
  readonly payer: string
  readonly tag: string
  readonly signal: AbortSignal | undefined
}

async function build(rpc: Rpc, { requirements, payer, tag, signal }: Building): Promise<Transaction> {
  const { payTo, asset, amount } = requirements
  const reader = readerOf(rpc)
  const isCoin = asset === system.address
  const mint = isCoin ? undefined : (mintFactsOf(requirements) ?? (await mintFacts(requirements, { reader, signal })))
  const { blockhash } = await reader.recentBlockhash({ signal })
  const isKnown = isCoin || mint !== undefined
  const built = isKnown ? buildTransfer({ payer, payTo, asset, mint, amount: BigInt(amount), tag, recent: blockhash }) : undefined
  if (built === undefined) throw solanaErrors('solana/unsupported-terms', { why: 'the asset is no token with a mint on this chain' })
  return built
}

const simulationSchema = inContext(z.looseObject({ err: z.unknown() }))

/** Runs a transfer without effect: one that would fail costs its fee, and one without the money for it is never mined. */
async function rehearse(rpc: Rpc, { bytes }: Transaction, signal: AbortSignal | undefined): Promise<void> {
  const params = [encodeBase64(bytes), { encoding: 'base64', commitment: 'confirmed', sigVerify: false }]
  const { value } = await rpc.ask({ method: 'simulateTransaction', params, result: simulationSchema }, { signal })
  if (value.err != null) throw solanaErrors('solana/transfer-refused', { why: JSON.stringify(value.err).slice(0, 200) })
}

async function sign(signer: SolanaSigner, unsigned: Transaction): Promise<Transaction> {
  const bytes =
    signer.sign === undefined
      ? await signer.signTransaction?.(unsigned.bytes)
      : withSignature(unsigned, { signature: await signer.sign(unsigned.message), signer: 0 })
  const signed = bytes && decodeTransaction(bytes)
  if (signed === undefined || signed.signatures[0]?.every((byte) => byte === 0) !== false)
    throw solanaErrors('solana/bad-signature', { address: signer.address })
  if (!sameBytes(signed.message, unsigned.message))
    throw solanaErrors('solana/altered', { address: signer.address, why: 'its message is another' })
  return signed
}

function writtenDown({ transfer = '', payload }: Prepared): { readonly transaction: string; readonly bytes: string } {
  const signed = decodeTransaction(decodeBase64(transfer) ?? new Uint8Array())
  const transaction = signed === undefined ? '' : encodeBase58(signed.signatures[0] ?? new Uint8Array())
  if (transaction === '' || transaction !== payload.transaction)
    throw solanaErrors('solana/unsupported-terms', { why: 'what was written down is no transfer of this payment' })
  return { transaction, bytes: transfer }
}

type Deep = { readonly transaction: string; readonly requirements: PaymentRequirements; readonly signal: AbortSignal | undefined }

async function isDeep(rpc: Rpc, { transaction, requirements, signal }: Deep): Promise<boolean> {
  if (requirements.extra?.confirmations !== 'finalized') return true
  return (await mined(rpc, transaction, { commitment: 'finalized', signal })).state === 'mined'
}
