import { type Channel, type ChannelBook, learnPayerFunds, type PaymentRequirements, unsignedFunds } from '@flow402x/core'
import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex } from '@noble/hashes/utils'
import type { Instruction } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import * as z from 'zod/mini'
import { feeOf } from '../../chain/budget.ts'
import { solanaErrors } from '../../chain/errors.ts'
import { readerOf } from '../../chain/reader.ts'
import type { Rpc } from '../../chain/rpc.ts'
import type { SolanaChain } from '../../chain/solana-chain.ts'
import { type SolanaSender, secretKeySender } from '../../crypto/signer.ts'
import { ownTransaction, sendOwn } from '../../transfer/own.ts'
import { channelIdOf, type NonceChannel } from '../channel.ts'
import { epochOf, readRow, rowFor, withRow } from '../receiver/row.ts'
import { fillingOf, openingOf, type Rents } from '../setup.ts'
import { readChannel } from '../state.ts'
import { accountBytes } from '../stored.ts'
import { nonceExtra } from '../wire.ts'

/** What signs vouchers, and what tells a payer's channels apart from anybody's guesses. */
export type Session = { readonly sender: SolanaSender; readonly salt: string }

/** What a payer over channels of nonces works with. */
export type NonceDesk = {
  readonly book: ChannelBook
  readonly chain: SolanaChain
  readonly rpc: Rpc
  readonly sender: SolanaSender
  readonly session: () => Promise<Session>
  readonly decimals: number
  /** The most that lies with one receiver and is not spent (atomic). */
  readonly maxDeposit: bigint
  /** The price of computing of its own transactions, in millionths of a lamport. */
  readonly microLamports: bigint
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  /** Unix milliseconds. */
  readonly clock: () => number
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

// For how long a deposit that was sent may still land (ms): the life of a blockhash, and more.
const fillingMs = 180_000

/**
 * Sees to it that `need` more can be signed for over a channel: it is opened, or more is put in, by a transaction of the payer's own. What
 * the offer advises is followed up to the cap. Errors: `solana/deposit-cap`, `solana/no-sol`, `solana/channel-busy`, `solana/not-filled`,
 * those of the chain.
 */
export async function fill(
  desk: NonceDesk,
  channel: NonceChannel,
  given: Abortable & { readonly need: bigint; readonly advised: bigint },
): Promise<void> {
  const { book, clock, maxDeposit } = desk
  const { need, advised, signal } = given
  const id = channelIdOf(channel)
  const row = await sync(desk, channel, { signal })
  const left = row === undefined ? 0n : unsignedFunds(row)
  if (left >= need) return
  const spendable = row === undefined ? 0n : row.funds.balance - row.funds.claimed
  const wanted = advised > need - left ? advised : need - left
  const amount = spendable + wanted > maxDeposit ? maxDeposit - spendable : wanted
  if (left + amount < need) throw solanaErrors('solana/deposit-cap', { need: need - left, cap: maxDeposit, locked: spendable })
  if (row === undefined) {
    const rents = await rentsOf(desk.rpc, { signal })
    const rent = rents.nonce + rents.purse + rents.multisig
    // Opening it twice fails: its accounts are there then.
    await send(desk, { instructions: openingOf(channel, { rents, amount, approved: amount, decimals: desk.decimals }), rent, id, signal })
  } else {
    const now = clock()
    const filling = { amount, until: now + fillingMs, by: bytesToHex(desk.random(new Uint8Array(16))), authorization: {} }
    // What another process puts in right now is not put in twice.
    const mine = await book.change(id, (one) => {
      const isUnderWay = one.filling !== undefined && one.filling.until > now
      return { channel: isUnderWay ? one : { ...one, filling }, result: !isUnderWay }
    })
    if (mine !== true) throw solanaErrors('solana/channel-busy', { channel: id })
    const instructions = fillingOf(channel, { amount, approved: spendable + amount, decimals: desk.decimals })
    try {
      await send(desk, { instructions, rent: 0n, id, signal })
    } finally {
      await book.change(id, ({ filling: now, ...rest }) => ({
        channel: now === undefined || now.by === filling.by ? rest : { ...rest, filling: now },
        result: undefined,
      }))
    }
  }
  await sync(desk, channel, { signal })
}

const computeUnits = 60_000n
// What closing a channel costs at most: nobody puts money where he cannot get it out (M31).
const exitLamports = 20_000n

type Sending = Abortable & { readonly instructions: readonly Instruction[]; readonly rent: bigint; readonly id: string }

/** Sends a transaction of the payer's own, after a run without effect. Errors: `solana/no-sol`, `solana/not-filled`, those of the chain. */
export async function send(desk: NonceDesk, { instructions, rent, id, signal }: Sending): Promise<string> {
  const { chain, rpc, sender, microLamports } = desk
  const failed = (why: string) => solanaErrors('solana/not-filled', { channel: id, why })
  const budget = [getSetComputeUnitLimitInstruction({ units: Number(computeUnits) }), getSetComputeUnitPriceInstruction({ microLamports })]
  await chain.start({ signal })
  const { blockhash: recent } = await readerOf(rpc).recentBlockhash({ signal })
  const unsigned = ownTransaction({ payer: sender.address, recent, instructions: [...budget, ...instructions] })
  if (unsigned === undefined) throw failed('its transaction could not be built')
  const needed = feeOf(unsigned, { computeUnits, microLamports }) + rent + exitLamports
  const { held } = (await chain.balance?.(sender.address, { signal })) ?? { held: 0n }
  if (held < needed) throw solanaErrors('solana/no-sol', { address: sender.address, network: chain.network, held, needed })
  const { failure } = await chain.simulate(unsigned, { signal })
  if (failure !== undefined) throw failed(failure)
  return await sendOwn(chain, { unsigned, sender, failed, signal })
}

async function rentsOf(rpc: Rpc, options: Abortable): Promise<Rents> {
  const rent = async (bytes: number): Promise<bigint> => {
    const params = [bytes]
    return BigInt(await rpc.ask({ method: 'getMinimumBalanceForRentExemption', params, result: z.int() }, options))
  }
  const { nonce, purse, multisig } = accountBytes
  return { nonce: await rent(nonce), purse: await rent(purse), multisig: await rent(multisig) }
}
