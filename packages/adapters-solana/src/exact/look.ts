import type { Sighting, Submission } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { createLifetimes, mined, readEffects } from '../chain/confirmation.ts'
import { readerOf } from '../chain/reader.ts'
import type { Rpc } from '../chain/rpc.ts'
import { associatedTokenAccount } from '../chain/token-account.ts'
import { messageHash, type Transaction } from '../chain/transaction.ts'
import { isRefusal, memosOf, readLayout } from './layout.ts'
import { outcomeOf } from './outcome.ts'
import { heldBy } from './stored.ts'
import { type MintFacts, mintFactsOf, payerOf, readTransaction } from './wire.ts'

/** Looks at a chain, as the contracts of `ServerScheme` and `ClientScheme` have it. Errors: `solana/rpc`, `solana/call-failed`. */
export type Sight = {
  look(submission: Submission, options?: Looking): Promise<Sighting>
  funds(submission: Submission, options?: Pick<Looking, 'signal'>): Promise<bigint | undefined>
}

type Looking = { readonly transaction?: string | undefined; readonly signal?: AbortSignal | undefined }

/** With what a chain is looked at: `mintOf` knows more mints than the table, `clock` gives Unix milliseconds. */
export type SightOptions = { readonly mintOf?: (asset: string) => MintFacts | undefined; readonly clock?: () => number }

/**
 * What a chain says of payments by `exact`: settled once a final block has the payment's own message with its own effect; not
 * settled, to be signed anew, once that message failed in a final block, or by M21 can be in none; else pending, naming what settles it as soon
 * as it is final. The fee payer's signature names a transaction and no seller knows it, so without a name the payer's history is searched.
 */
export function createSight(rpc: Rpc, { mintOf = () => undefined, clock = Date.now }: SightOptions = {}): Sight {
  const lifetimes = createLifetimes(rpc)
  const mintFor = ({ requirements }: Submission): MintFacts | undefined => mintOf(requirements.asset) ?? mintFactsOf(requirements)

  async function look(submission: Submission, { transaction: hint, signal }: Looking = {}): Promise<Sighting> {
    const { network } = submission.requirements
    const read = readTransaction(submission.payment)
    const payer = read && payerOf(read)
    const mint = mintFor(submission)
    if (read === undefined || payer === undefined || mint === undefined) return { status: 'pending', network }
    const id = messageHash(read)
    const named = hint === undefined || !isSignature(hint) ? undefined : await effectsOf(rpc, hint, { signal })
    const own = named?.message === id ? named : undefined
    // Mined, and another's message: whoever named it for this payment told something untrue.
    const denied = named !== undefined && own === undefined ? { denied: true as const } : {}
    const known = { network, payer: encodeBase58(payer), ...denied }
    if (own !== undefined) return judge(submission, { read, mint, found: own, isNamed: true, signal })
    const slot = await rpc.ask({ method: 'getSlot', params: [{ commitment: 'processed' }], result: z.number() }, { signal })
    lifetimes.meet(id, slot)
    const ended = lifetimes.isDue(id, slot) ? await lifetimes.endedAt(id, read, { signal }) : undefined
    const { found, complete } = await search(rpc, { read, payer, id, ended, signal })
    if (found !== undefined) return { ...(await judge(submission, { read, mint, found, isNamed: false, signal })), ...denied }
    if (ended === undefined || !complete) return { status: 'pending', ...known }
    return { status: 'notSettled', reason: expired, retry: 'resign', ...known }
  }

  async function judge(submission: Submission, { read, mint, found, isNamed, signal }: Judging): Promise<Sighting> {
    const { transaction, success } = found
    const { network } = submission.requirements
    const exact = !isRefusal(readLayout(read, read.accounts))
    const outcome = outcomeOf(submission, { ...found, read, exact, mint, now: clock() / 1000 })
    const isFinal = (await mined(rpc, transaction, { commitment: 'finalized', signal })).state === 'mined'
    const payer = outcome.payer === undefined ? {} : { payer: outcome.payer }
    if (outcome.status === 'settled') return isFinal ? outcome : { status: 'pending', network, transaction, ...payer }
    const denied = isNamed ? { denied: true as const } : {}
    if (!isFinal || outcome.status === 'pending') return { status: 'pending', network, ...payer, ...denied }
    if (success) return { ...outcome, ...denied }
    // A message is taken once, whatever comes of it: no other transaction can bring this one again.
    const { deadAfter: _, ...failed } = outcome
    return { ...failed, retry: 'resign', ...denied }
  }

  return {
    look,
    async funds(submission, { signal } = {}) {
      const read = readTransaction(submission.payment)
      const owner = read && payerOf(read)
      const facts = mintFor(submission)
      if (read === undefined || owner === undefined || facts === undefined) return undefined
      const layout = readLayout(read, read.accounts)
      const { mint, program } = facts
      const source = isRefusal(layout) ? associatedTokenAccount({ owner, mint, program: program.bytes }) : layout.transfer.source
      return heldBy(await readerOf(rpc).account(encodeBase58(source), { signal }))
    },
  }
}

// As the facilitator says of its own.
const expired = 'settlement_expired'

type Found = { readonly transaction: string; readonly message: string | undefined } & Mined
type Mined = Pick<Awaited<ReturnType<typeof mined>> & { readonly state: 'mined' }, 'success' | 'logs'>

type Judging = {
  readonly read: Transaction
  readonly mint: MintFacts
  readonly found: Found
  readonly isNamed: boolean
  readonly signal: AbortSignal | undefined
}

function isSignature(text: string): boolean {
  return decodeBase58(text)?.length === 64
}

async function effectsOf(rpc: Rpc, transaction: string, options: { signal: AbortSignal | undefined }): Promise<Found | undefined> {
  const status = await mined(rpc, transaction, options)
  if (status.state !== 'mined') return undefined
  const { success, logs } = status
  return { transaction, message: readEffects(logs).message, success, logs }
}

const pageSchema = z.array(z.looseObject({ signature: z.string(), memo: z.nullish(z.string()) }))

// What one getSignaturesForAddress gives, how far back it is asked, and how many of what it gives are looked at.
const pageSize = 1000
const mostPages = 5
const mostRead = 200
const atOnce = 8

type Search = {
  readonly read: Transaction
  readonly payer: Uint8Array
  readonly id: string
  readonly ended: number | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * The transaction that brought a message, newest first; `complete` where it was looked for in all that the payer ever signed. It is
 * asked of a node that is as far as the payment's end, where that is known.
 */
async function search(rpc: Rpc, { read, payer, id, ended, signal }: Search): Promise<{ found?: Found; complete: boolean }> {
  const texts = memosOf(read, read.accounts)
  let [before, left] = ['', mostRead]
  for (let page = 0; page < mostPages; page += 1) {
    const config = { limit: pageSize, commitment: 'confirmed', ...(before && { before }), ...(ended && { minContextSlot: ended }) }
    const params = [encodeBase58(payer), config]
    const entries = await rpc.ask({ method: 'getSignaturesForAddress', params, result: pageSchema }, { signal })
    // A node tells a transaction's memos; it may tell none at all, which excludes nothing.
    const possible = entries.filter(({ memo }) => memo == null || texts.every((text) => memo.includes(text)))
    const all = possible.slice(0, left)
    for (let at = 0; at < all.length; at += atOnce) {
      const some = await Promise.all(all.slice(at, at + atOnce).map(({ signature }) => effectsOf(rpc, signature, { signal })))
      const found = some.find((one) => one?.message === id)
      if (found !== undefined) return { found, complete: true }
      // Listed and not to be read: it could have been the one.
      if (some.includes(undefined)) left = 0
    }
    if (possible.length > left) return { complete: false }
    if (entries.length < pageSize) return { complete: true }
    left -= all.length
    before = entries.at(-1)?.signature ?? ''
  }
  return { complete: false }
}
