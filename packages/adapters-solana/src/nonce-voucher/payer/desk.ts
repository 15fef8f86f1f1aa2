import { type Channel, learnPayerFunds, type PaymentRequirements } from '@flow402x/core'
import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex } from '@noble/hashes/utils'
import * as z from 'zod/mini'
import { decodeBase58, encodeBase58 } from '../../chain/base58.ts'
import { solanaErrors } from '../../chain/errors.ts'
import type { Rpc } from '../../chain/rpc.ts'
import { type SolanaSender, secretKeySender } from '../../crypto/signer.ts'
import { type Caller, callChannel } from '../../transfer/channel-call.ts'
import { type Filler, fillChannel } from '../../vouchers/filling.ts'
import type { ExactPayer, Ground } from '../../vouchers/payer.ts'
import { channelIdOf, type NonceChannel } from '../channel.ts'
import { epochOf, readRow, rowFor, withRow } from '../receiver/row.ts'
import { fillingOf, openingOf, type Rents } from '../setup.ts'
import { readChannel } from '../state.ts'
import { accountBytes } from '../stored.ts'
import { isAmount, isVoucher, voucherMessage } from '../voucher.ts'
import { nonceExtra } from '../wire.ts'

/** What signs vouchers, and what tells a payer's channels apart from anybody's guesses. */
export type Session = { readonly sender: SolanaSender; readonly salt: string }

/** What a payer over channels of nonces works with. */
export type NonceDesk = Filler &
  Caller & {
    readonly session: () => Promise<Session>
    readonly decimals: number
  }

type Abortable = { readonly signal?: AbortSignal | undefined }

// Nobody can guess it, so nobody can put a lamport where an account is to be opened, and it comes back with the key (M31).
const sessionText = 'flow402x-nonce: the key that signs vouchers for me'

/** The session key that belongs to a wallet: always the same, and none of its own transactions is ever signed by it. */
export async function sessionOf(sender: SolanaSender): Promise<Session> {
  const seed = sha256(await sender.sign(new TextEncoder().encode(sessionText)))
  return { sender: secretKeySender(seed), salt: saltOf(seed) }
}

/** The salt of a session whose key was given: of its own signature, which nobody else can make. */
export async function givenSession(sender: SolanaSender): Promise<Session> {
  return { sender, salt: saltOf(await sender.sign(new TextEncoder().encode(sessionText))) }
}

function saltOf(secret: Uint8Array): string {
  return bytesToHex(sha256(Uint8Array.from([...secret, 0]))).slice(0, 32)
}

/** The channel that an offer is paid over: one for each receiver and authority. Errors: `solana/unsupported-terms`. */
export async function channelFor({ sender, session }: NonceDesk, { payTo, asset, extra }: PaymentRequirements): Promise<NonceChannel> {
  const { nonceAuthority } = z.safeParse(nonceExtra, extra).data ?? {}
  if (nonceAuthority === undefined) throw solanaErrors('solana/unsupported-terms', { why: 'the offer names no nonceAuthority' })
  const { sender: signer, salt } = await session()
  return { payer: sender.address, session: signer.address, nonceAuthority, receiver: payTo, asset, salt }
}

/**
 * Reads a channel and writes down where it stands: after each settlement from what it moved, before anything is signed over the new nonce
 * (FS/1 §12.3, rule 3). Nothing for one that was never opened. Errors: those of `readChannel`.
 */
export async function sync(
  { book, rpc, chain, decimals, clock }: NonceDesk,
  channel: NonceChannel,
  { signal }: Abortable,
): Promise<Channel | undefined> {
  const id = channelIdOf(channel)
  const known = await book.find(id)
  const row = known && readRow(known)
  const now = clock()
  const state = await readChannel(rpc, channel, { known: row && epochOf(row), signal })
  if (state === undefined) return undefined
  if (row === undefined) await book.open(rowFor(state, { channel, decimals, network: chain.network, id, now }))
  await book.change(id, (one) => {
    const before = readRow(one)
    if (before === undefined || state.epoch.settled < before.settled) return { channel: one, result: undefined }
    const { epoch, spendable } = state
    const funds = { ...one.funds, balance: epoch.settled + spendable, claimed: epoch.settled, readAt: now }
    const learned = learnPayerFunds(one, funds)
    if (epoch.nonce === before.nonce) return { channel: learned, result: undefined }
    const { last: _, ...rest } = before
    return { channel: withRow(learned, { ...rest, ...epoch }), result: undefined }
  })
  return await book.find(id)
}

/**
 * Sees to it that `need` more can be signed for over a channel: it is opened, or more is put in, by a transaction of the payer's own. What
 * the offer advises is followed up to the cap. Errors: those of `fillChannel`, `solana/no-sol`, `solana/not-filled`, those of the chain.
 */
async function fill(
  desk: NonceDesk,
  channel: NonceChannel,
  { need, advised, signal }: Abortable & { readonly need: bigint; readonly advised: bigint },
): Promise<void> {
  const id = channelIdOf(channel)
  const row = await sync(desk, channel, { signal })
  const { decimals } = desk
  await fillChannel(desk, { id, row, need, advised }, async ({ amount, spendable }) => {
    if (row !== undefined)
      return await callChannel(desk, { id, instructions: fillingOf(channel, { amount, approved: spendable + amount, decimals }), signal })
    const rents = await rentsOf(desk.rpc, { signal })
    const instructions = openingOf(channel, { rents, amount, approved: amount, decimals })
    return await callChannel(desk, { id, instructions, rent: rents.nonce + rents.purse + rents.multisig, signal })
  })
  await sync(desk, channel, { signal })
}

/** Signs for everything up to `max`, over the nonce of an epoch: this template, and nothing else (FS/1 §12.3, rule 4). */
async function sign(
  { session, decimals, chain }: NonceDesk,
  channel: NonceChannel,
  { max, ground }: { readonly max: bigint; readonly ground: Ground },
): Promise<string> {
  const amount = max - ground.settled
  if (!isAmount(amount)) throw solanaErrors('solana/unsupported-terms', { why: `${amount} is nothing that a voucher can say` })
  const { sender } = await session()
  const said = { nonce: ground.nonce, amount, decimals }
  const signature = await sender.sign(voucherMessage(channel, said))
  if (!(await isVoucher(channel, { ...said, signature }, chain))) throw solanaErrors('solana/bad-signature', { address: sender.address })
  return encodeBase58(signature)
}

/** A payer over channels of nonces: what his lanes and windows are made from. */
export function noncePayer(desk: NonceDesk): ExactPayer<NonceChannel> {
  const { book, random, clock, decimals, chain } = desk
  return {
    book,
    random,
    clock,
    async channelFor(requirements) {
      const terms = await channelFor(desk, requirements)
      return { id: channelIdOf(terms), terms }
    },
    fill: ({ terms }, need) => fill(desk, terms, need),
    sync: ({ terms }, options) => sync(desk, terms, options),
    groundOf: (row) => readRow(row),
    sign: ({ terms }, voucher) => sign(desk, terms, voucher),
    async isOwn({ terms }, { max, signature, ground: { nonce, settled } }) {
      const bytes = decodeBase58(signature) ?? new Uint8Array()
      return await isVoucher(terms, { nonce, amount: max - settled, decimals, signature: bytes }, chain)
    },
    wire({ terms }, { voucher: { channelId, maxClaimableAmount, signature }, ground: { nonce, settled } }) {
      const wire = { channelId, maxClaimableAmount: `${maxClaimableAmount}`, settled: `${settled}`, nonce, signature }
      return { payload: { type: 'voucher', channel: terms, voucher: wire }, payer: terms.payer }
    },
  }
}

async function rentsOf(rpc: Rpc, options: Abortable): Promise<Rents> {
  const rent = async (bytes: number): Promise<bigint> => {
    const params = [bytes]
    return BigInt(await rpc.ask({ method: 'getMinimumBalanceForRentExemption', params, result: z.int() }, options))
  }
  const { nonce, purse, multisig } = accountBytes
  return { nonce: await rent(nonce), purse: await rent(purse), multisig: await rent(multisig) }
}
