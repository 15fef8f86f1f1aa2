import type { PaymentPayload, Submission } from '@flow402x/core'
import { readTransfer, referenceTag, type SeenTransfer, type TransferChain, transferFailed } from '@flow402x/core/transfer'
import * as z from 'zod/mini'
import { addressBytes, sameBytes } from '../chain/address.ts'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { associatedToken, computeBudget, lighthouse, memo, type Program, splToken, system, token2022 } from '../chain/programs.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { Instruction, Transaction } from '../chain/transaction.ts'
import { type Moved, readMoved } from '../transfer/moved.ts'

/** Where transfers are made unless told. */
export const devnet = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'

/** How deep a transfer must lie: voted for by two thirds of the stake, or final. */
export type SolanaConfirmations = 'confirmed' | 'finalized'

type Abortable = { readonly signal?: AbortSignal | undefined }

/** Transfers on one Solana network, and how one is found that is told by its reference alone. Errors: `solana/rpc`, `solana/call-failed`. */
export type SolanaTransfers = TransferChain & { find(submission: Submission, options?: Abortable): Promise<PaymentPayload | undefined> }

/** Reads transfers of SOL and of tokens. */
export function solanaTransfers(
  rpc: Rpc,
  options: { readonly network: string; readonly confirmations: SolanaConfirmations },
): SolanaTransfers {
  const { network, confirmations } = options
  const chain: TransferChain = {
    network,
    spell: spellSignature,
    async see(submission, { transaction, tag, signal }) {
      const moved = await readMoved(rpc, transaction, { signal })
      if (moved?.blockTime === undefined) return { state: 'unknown' }
      const deep = confirmations === 'confirmed' || (await readMoved(rpc, transaction, { commitment: 'finalized', signal })) !== undefined
      return judge(moved, { submission, transaction, tag: encodeBase58(tag), deep })
    },
  }
  return {
    ...chain,
    async find({ payment, requirements }, { signal } = {}) {
      const reference = readTransfer(payment)?.reference
      if (reference === undefined) return undefined
      const tag = await referenceTag(reference)
      const params = [encodeBase58(tag), { limit: mostNamed, commitment: 'confirmed' }]
      const named = await rpc.ask({ method: 'getSignaturesForAddress', params, result: namedSchema }, { signal })
      // Newest first: whoever names the account later, once everybody has seen it, comes after the payer.
      const first = named.filter(({ err }) => err == null).slice(-mostRead)
      for (const { signature } of first.reverse()) {
        const seen = await chain.see({ payment, requirements }, { transaction: signature, tag, signal })
        if (seen.state === 'paid' && seen.tagged) return { ...payment, payload: { ...payment.payload, transaction: signature } }
      }
      return undefined
    },
  }
}

const namedSchema = z.array(z.looseObject({ signature: z.string(), err: z.unknown() }))
const mostNamed = 1000
const mostRead = 8

/** The signature that names a transaction, in its one spelling. */
export function spellSignature(text: string): string | undefined {
  const bytes = decodeBase58(text)
  return bytes?.length === 64 ? encodeBase58(bytes) : undefined
}

type Judging = { readonly submission: Submission; readonly transaction: string; readonly tag: string; readonly deep: boolean }

function judge(moved: Moved, { submission, transaction, tag, deep }: Judging): SeenTransfer {
  const refused = (reason: string, message: string): SeenTransfer => ({ state: 'refused', reason, message, deep })
  if (!moved.success) return refused(transferFailed, 'The transaction failed on the chain, and moved nothing.')
  const { asset, payTo } = submission.requirements
  const own = ownTransfer(moved)
  if (own === undefined) return refused('not_a_plain_transfer', plainOnly)
  const { amount, receiver } = arrived(moved, { own, asset, payTo })
  if (receiver !== payTo) return refused('wrong_receiver', `The transaction did not pay ${payTo} in ${asset}.`)
  if (amount === undefined || amount <= 0n || own.from === payTo)
    return refused('wrong_amount', 'Nothing arrived that could be told exactly.')
  const tags = tagsOf(moved, own)
  const tagged = tags.length === 1 && tags[0] === tag
  if (!tagged && tags.length > 0) return refused('foreign_reference', 'The transfer carries another reference than this.')
  return { state: 'paid', transaction, payer: own.from, amount, tagged, time: moved.blockTime ?? 0, deep }
}

const plainOnly =
  'Only a transfer that its sender signed alone and paid for himself is taken, with nothing beside it but a memo: another could have paid for something else as well.'

/** The one transfer of a transaction: who sent it, to which account, of which mint (none for SOL), and what else it names. */
type Own = { readonly from: string; readonly to: string; readonly mint?: string; readonly more: readonly string[] }

// What may stand beside a transfer: it moves nothing that is anybody's.
const besides: readonly Program[] = [computeBudget, memo, lighthouse, associatedToken]

/** The transfer that its sender signed alone (M23): a transaction with two signers could be another scheme's, one with two transfers two payments. */
function ownTransfer({ transaction, accounts, signers }: Moved): Own | undefined {
  const [from] = signers
  const [transfer, ...more] = transaction.instructions.filter((one) => !besides.some(({ bytes }) => isOf(one, transaction, bytes)))
  if (from === undefined || signers.length !== 1 || transfer === undefined || more.length > 0) return undefined
  const named = Array.from(transfer.accounts, (at) => accounts[at] ?? '')
  const own = isOf(transfer, transaction, system.bytes) ? solOf(transfer, named) : tokenOf(transfer, named, transaction)
  return own?.authority === from ? { ...own, from } : undefined
}

type Sent = Omit<Own, 'from'> & { readonly authority: string }

function solOf({ data }: Instruction, [authority, to, ...more]: readonly string[]): Sent | undefined {
  const isTransfer = data.length === 12 && new DataView(data.buffer, data.byteOffset, data.length).getUint32(0, true) === 2
  return isTransfer && authority !== undefined && to !== undefined ? { authority, to, more } : undefined
}

function tokenOf(instruction: Instruction, named: readonly string[], transaction: Transaction): Sent | undefined {
  const { data } = instruction
  if (![splToken, token2022].some(({ bytes }) => isOf(instruction, transaction, bytes))) return undefined
  const isChecked = data[0] === 12 && data.length === 10
  if (!isChecked && !(data[0] === 3 && data.length === 9)) return undefined
  const [, ...rest] = named
  const [mint, to, authority, ...more] = isChecked ? rest : ['', ...rest]
  return to === undefined || authority === undefined ? undefined : { authority, to, mint: mint ?? '', more }
}

function isOf({ program }: Instruction, { accounts }: Transaction, bytes: Uint8Array): boolean {
  return sameBytes(accounts[program] ?? new Uint8Array(1), bytes)
}

type Wanted = { readonly own: Own; readonly asset: string; readonly payTo: string }

/** What reached whom, by the balances the chain tells: a token's fee is off already. */
function arrived(
  moved: Moved,
  { own, asset, payTo }: Wanted,
): { readonly amount?: bigint | undefined; readonly receiver?: string | undefined } {
  if (own.mint === undefined) return asset === system.address ? { amount: moved.coinChange(own.to), receiver: own.to } : {}
  const change = moved.tokenChange(own.to, asset)
  return change === undefined ? {} : { amount: change.change, receiver: change.owner ?? payTo }
}

/** The tags that a transfer carries, in its memos and as further accounts. A memo that is no hash is the payer's own note. */
function tagsOf({ memos }: Moved, { more }: Own): readonly string[] {
  return [...new Set([...memos.filter((text) => addressBytes(text) !== undefined), ...more])]
}
