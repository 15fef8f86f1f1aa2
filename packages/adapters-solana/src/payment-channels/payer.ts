import { type Channel, type ChannelStore, learnPayerFunds, type PaymentRequirements } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import type { SolanaSender } from '../crypto/signer.ts'
import { type Caller, callChannel } from '../transfer/channel-call.ts'
import { type Filler, fillChannel } from '../vouchers/filling.ts'
import type { ExactPayer, OpenChannel } from '../vouchers/payer.ts'
import { openInstruction, topUpInstruction } from './instructions.ts'
import type { StoredChannel } from './program.ts'
import { fundsOf, readRow, readStored, rowFor } from './receiver.ts'
import { refuseChannel, sharesOf } from './settlement.ts'
import { encodeVoucher, isProgramVoucher } from './voucher.ts'
import { type ChannelTerms, channelExtra, idOf, seedsOf } from './wire.ts'

/** What a payer over channels of the program works with. */
export type ChannelDesk = Filler &
  Caller & {
    readonly store: ChannelStore
    readonly session: () => Promise<SolanaSender>
    /** Channels that were opened before these books began, or by somebody else. */
    readonly known: readonly ChannelTerms[]
  }

type Abortable = { readonly signal?: AbortSignal | undefined }

// What opening costs at most beside its fee, in lamports: the channel's account and its token account. It comes back when it is reclaimed.
const openingRent = 5_000_000n
const computeUnits = 120_000n
// The program takes a slot that is no older than this.
const slotBehind = 30n

/** A channel is one receiver's, ended by the one that he names, and this payer signs for it. */
type Wanted = { readonly payee: string; readonly mint: string; readonly receiver: string; readonly withdrawDelay: number }

function wantedBy({ payTo, asset, extra }: PaymentRequirements): Wanted {
  const { payee, withdrawDelay } = z.safeParse(channelExtra, extra).data ?? {}
  if (payee === undefined || withdrawDelay === undefined)
    throw solanaErrors('solana/unsupported-terms', { why: 'the offer names no payee and no withdrawDelay' })
  return { payee, withdrawDelay, mint: asset, receiver: payTo }
}

/** Channels of this wallet that an offer can be paid over, as the chain has them: open ones first. */
export async function channelsFor(
  desk: ChannelDesk,
  requirements: PaymentRequirements,
  { signal }: Abortable = {},
): Promise<readonly (OpenChannel<ChannelTerms> & { readonly stored: StoredChannel })[]> {
  const { store, chain, rpc, sender, known } = desk
  const wanted = wantedBy(requirements)
  const all = new Map(known.map((terms) => [idOf(terms), terms]))
  for await (const channel of store.list({ side: 'payer' })) {
    const program = channel.network === chain.network ? readRow(channel)?.program : undefined
    if (program !== undefined) all.set(channel.id, program)
  }
  const authorizedSigner = (await desk.session()).address
  const found: (OpenChannel<ChannelTerms> & { stored: StoredChannel })[] = []
  for (const [id, terms] of all) {
    const isOwn = terms.payer === sender.address && terms.authorizedSigner === authorizedSigner
    if (!isOwn || terms.payee !== wanted.payee || terms.mint !== wanted.mint) continue
    const stored = await readStored(rpc, id, { signal })
    // A grace period of any length is the receiver's affair; whom it pays is not.
    const wrong = stored && refuseChannel(id, stored, { ...wanted, leastGrace: 0 })
    if (stored !== undefined && (wrong === undefined || wrong === 'closing')) found.push({ id, terms, stored })
  }
  return found.toSorted((a, b) => Number(b.stored.status === 'open') - Number(a.stored.status === 'open'))
}

/** Reads a channel and writes down where it stands; nothing for one that cannot be signed for. */
async function sync({ book, chain, rpc, clock }: ChannelDesk, { id, terms }: OpenChannel<ChannelTerms>, { signal }: Abortable) {
  const stored = await readStored(rpc, id, { signal })
  if (stored === undefined || stored.status !== 'open') return undefined
  const funds = fundsOf(stored, clock())
  if ((await book.find(id)) === undefined) await book.open(rowFor(terms, { funds, network: chain.network }))
  await book.change(id, (row) => ({ channel: learnPayerFunds(row, funds), result: undefined }))
  return await book.find(id)
}

/** Opens a channel by a transaction of the payer's own. Its terms are written down before it is sent, so that no deposit is ever lost from sight. */
async function open(desk: ChannelDesk, wanted: Wanted, { amount, signal }: Abortable & { readonly amount: bigint }) {
  const { book, chain, rpc, sender, random, clock } = desk
  const salt = new DataView(random(new Uint8Array(8)).buffer).getBigUint64(0, true)
  const slot = await rpc.ask({ method: 'getSlot', params: [{ commitment: 'confirmed' }], result: z.int() }, { signal })
  const openSlot = BigInt(slot) > slotBehind ? BigInt(slot) - slotBehind : 0n
  const { payee, mint, receiver, withdrawDelay } = wanted
  const terms = {
    payer: sender.address,
    payee,
    mint,
    authorizedSigner: (await desk.session()).address,
    salt: `${salt}`,
    openSlot: `${openSlot}`,
  }
  const id = idOf(terms)
  const funds = { balance: 0n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: clock() }
  await book.open(rowFor(terms, { funds, network: chain.network }))
  const given = { rentPayer: sender.address, deposit: amount, gracePeriod: withdrawDelay, shares: sharesOf({ receiver }) }
  const instructions = [openInstruction({ ...seedsOf(terms), ...given })]
  await callChannel(desk, { id, instructions, rent: openingRent, computeUnits, signal })
  return { id, terms }
}

/** A payer over channels of the program: what his lanes and windows are made from. */
export function channelPayer(desk: ChannelDesk): ExactPayer<ChannelTerms> {
  const { book, random, clock, chain } = desk
  const isOwn = async (id: string, terms: ChannelTerms, { max, signature }: { readonly max: bigint; readonly signature: Uint8Array }) => {
    const voucher = { channelId: id, cumulative: max, expiresAt: 0n, signature }
    return await isProgramVoucher(voucher, { signer: terms.authorizedSigner, now: 0n, ed25519: chain.ed25519 })
  }
  return {
    book,
    random,
    clock,
    async channelFor(requirements, { need, advised, signal }) {
      const [channel] = await channelsFor(desk, requirements, { signal })
      if (channel?.stored.status === 'open') return channel
      let opened: OpenChannel<ChannelTerms> | undefined
      const wanted = wantedBy(requirements)
      await fillChannel(desk, { id: wanted.payee, row: undefined, need, advised }, async ({ amount }) => {
        opened = await open(desk, wanted, { amount, signal })
      })
      if (opened === undefined) throw solanaErrors('solana/unsupported-terms', { why: 'nothing is to be paid' })
      return opened
    },
    async fill({ id, terms }, { need, advised, signal }) {
      const row = await sync(desk, { id, terms }, { signal })
      if (row === undefined) throw solanaErrors('solana/channel-busy', { channel: id })
      const { payer, mint } = terms
      await fillChannel(desk, { id, row, need, advised }, ({ amount }) =>
        callChannel(desk, { id, instructions: [topUpInstruction({ payer, mint, channel: id, amount })], signal }),
      )
      await sync(desk, { id, terms }, { signal })
    },
    sync: (channel, options) => sync(desk, channel, options),
    // Settling ends no other voucher: they are all signed upon the same.
    groundOf: (row: Channel) => ({ nonce: row.id, settled: row.funds.claimed }),
    async sign({ id, terms }, { max }) {
      if (max <= 0n || max >= 1n << 64n) throw solanaErrors('solana/unsupported-terms', { why: `${max} is nothing that a voucher can say` })
      const sender = await desk.session()
      const signature = await sender.sign(encodeVoucher({ channelId: id, cumulative: max, expiresAt: 0n }))
      if (!(await isOwn(id, terms, { max, signature }))) throw solanaErrors('solana/bad-signature', { address: sender.address })
      return encodeBase58(signature)
    },
    isOwn: async ({ id, terms }, { max, signature }) =>
      max > 0n && max < 1n << 64n && (await isOwn(id, terms, { max, signature: decodeBase58(signature) ?? new Uint8Array() })),
    wire({ terms }, { voucher: { channelId, maxClaimableAmount, signature } }) {
      const voucher = { channelId, maxClaimableAmount: `${maxClaimableAmount}`, signature }
      return { payload: { type: 'voucher', channel: terms, voucher }, payer: terms.payer }
    },
  }
}
