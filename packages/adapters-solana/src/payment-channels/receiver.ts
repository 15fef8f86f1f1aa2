import { type Channel, type ChannelFunds, type ChannelStore, channelBook, learnFunds } from '@flow402x/core'
import type { Rail } from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { readerOf } from '../chain/reader.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { Ed25519 } from '../crypto/ed25519.ts'
import { type ExactBooks, exactRail, standingText } from '../vouchers/rail.ts'
import { type Ring, storedVoucher, withRingVoucher, writeVoucher } from '../vouchers/ring.ts'
import { readChannelAccount, type StoredChannel } from './program.ts'
import { type ReceiverTerms, refuseChannel } from './settlement.ts'
import { isProgramVoucher } from './voucher.ts'
import { type ChannelTerms, channelsReason, channelTerms, idOf, readChannelPayload, refuseTerms } from './wire.ts'

const channelRow = z.object({ program: channelTerms, ring: z.array(storedVoucher) })

/** What the row of a channel says of itself; nothing for another scheme's. */
export function readRow({ config }: Pick<Channel, 'config'>): { readonly program: ChannelTerms; readonly ring: Ring } | undefined {
  return z.safeParse(channelRow, config).data
}

/** A new row for a channel as the chain has it. */
export function rowFor(
  program: ChannelTerms,
  { funds, network }: { readonly funds: ChannelFunds; readonly network: string },
): Omit<Channel, 'side' | 'epoch'> {
  const config = { program, ring: [] }
  return { id: idOf(program), network, config, funds, refunding: 0n, charged: funds.claimed, top: funds.claimed, held: [], free: [] }
}

/** What the chain says of a channel: once its payer wants to close, all that is not settled is on its way out. */
export function fundsOf({ deposit, settled, status, closureStartedAt }: StoredChannel, readAt: number): ChannelFunds {
  const withdrawing = status === 'open' ? 0n : deposit - settled
  return { balance: deposit, claimed: settled, withdrawing, withdrawalAt: Number(closureStartedAt), refundNonce: 0n, readAt }
}

/** A channel's account as the chain has it; nothing where there is none. Errors: `solana/rpc`, `solana/call-failed`. */
export async function readStored(
  rpc: Rpc,
  id: string,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<StoredChannel | undefined> {
  const account = await readerOf(rpc).account(id, options)
  return account && readChannelAccount(account)
}

/** The receiver's books of channels of the program. */
export type ChannelBooks = ExactBooks<ChannelTerms> & { readonly store: ChannelStore }

/** What books are kept of. */
export type ChannelBooksOptions = {
  readonly store: ChannelStore
  readonly rpc: Rpc
  readonly network: string
  readonly terms: ReceiverTerms
  /** Unix milliseconds. */
  readonly clock: () => number
}

/** Books over a store: none but channels that are wholly the receiver's are in them. */
export function channelBooks({ store, rpc, network, terms, clock }: ChannelBooksOptions): ChannelBooks {
  const book = channelBook(store, { side: 'receiver' })
  const isOurs = (channel: Channel): boolean => channel.network === network && readRow(channel) !== undefined
  const find: ChannelBooks['find'] = async (id) => {
    const channel = await book.find(id)
    return channel !== undefined && isOurs(channel) ? channel : undefined
  }
  return {
    store,
    find,
    change: (id, step) => book.change(id, (channel) => (isOurs(channel) ? step(channel) : { channel, result: undefined })),
    async learn(id, { channel: named, signal }) {
      const known = await find(id)
      const program = (known && readRow(known)?.program) ?? named
      if (program === undefined || idOf(program) !== id) return undefined
      const now = clock()
      const stored = await readStored(rpc, id, { signal })
      if (stored === undefined) {
        // It was paid out and its account is gone: nothing more can be had of it.
        await book.change(id, (one) => learnFunds(one, { ...one.funds, balance: one.funds.claimed, withdrawing: 0n, readAt: now }))
        return undefined
      }
      if (known === undefined) {
        if (refuseChannel(id, stored, terms) !== undefined) return undefined
        await book.open(rowFor(program, { funds: fundsOf(stored, now), network }))
      }
      await book.change(id, (one) => learnFunds(one, fundsOf(stored, now)))
      return stored
    },
  }
}

/** What a rail over channels of the program is made of. */
export type ChannelRailParts = {
  readonly books: ChannelBooks
  readonly network: string
  readonly ed25519: Ed25519
  readonly freshFor: number
  readonly clock: () => number
}

// No voucher that is paid expires.
const never = 0n

/** A rail over channels of the program (FS/1 §12.2): settling ends no other voucher, and so no lane waits for it. */
export function channelRail({ books, ed25519, ...parts }: ChannelRailParts): Rail {
  const isSigned = async (terms: ChannelTerms, id: string, voucher: { readonly max: bigint; readonly signature: Uint8Array }) => {
    const { max, signature } = voucher
    // What does not fit is cut off where it is written, and would be another amount.
    if (max <= 0n || max >= 1n << 64n || signature.length !== 64) return false
    const signed = { channelId: id, cumulative: max, expiresAt: never, signature }
    return await isProgramVoucher(signed, { signer: terms.authorizedSigner, now: never, ed25519 })
  }
  return exactRail<ChannelTerms>({
    ...parts,
    books,
    reason: channelsReason,
    read(payment) {
      const payload = readChannelPayload(payment)
      if (payload === undefined) return undefined
      const { channelId, maxClaimableAmount, signature } = payload.voucher
      return { terms: payload.channel, payer: payload.channel.payer, channelId, max: BigInt(maxClaimableAmount), signature }
    },
    async refuse({ terms, channelId, max, signature }, submission) {
      const payload = readChannelPayload(submission.payment)
      const refusal = payload && refuseTerms(payload, submission)
      if (payload === undefined || refusal !== undefined) return refusal ?? { reason: channelsReason('payload') }
      const bytes = decodeBase58(signature) ?? new Uint8Array()
      return (await isSigned(terms, channelId, { max, signature: bytes })) ? undefined : { reason: channelsReason('voucher_signature') }
    },
    termsOf: (channel) => readRow(channel)?.program,
    payerOf: ({ payer }) => payer,
    async signed(terms, id, { max, signature: given }) {
      const signature = typeof given === 'string' ? decodeBase58(given) : given
      if (signature === undefined || !(await isSigned(terms, id, { max, signature }))) return undefined
      return encodeBase58(signature)
    },
    written: (payment) => readChannelPayload(payment)?.voucher.signature,
    view: (channel) => ({ ring: readRow(channel)?.ring ?? [], settled: channel.funds.claimed, isSettling: false }),
    isDead: () => undefined,
    withVoucher(channel, voucher) {
      const row = readRow(channel)
      if (row === undefined) return channel
      const ring = withRingVoucher(row.ring, voucher, channel.charged)
      return { ...channel, config: { ...row, ring: ring.map(writeVoucher) }, voucher: ring.at(-1) ?? voucher }
    },
    stateOf(channel) {
      const highest = readRow(channel)?.ring.at(-1)
      // His own voucher, for who has lost his books.
      const own = highest === undefined ? {} : { signedMaxClaimable: `${highest.max}`, signature: highest.signature }
      return { ...standingText(channel), settled: `${channel.funds.claimed}`, ...own }
    },
  })
}
