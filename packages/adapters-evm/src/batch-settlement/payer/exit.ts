import {
  type Channel,
  type ChannelStore,
  channelBook,
  findAsset,
  learnPayerFunds,
  type SignedTransaction,
  sameAddress,
  unsignedFunds,
} from '@flow402x/core'
import * as z from 'zod/mini'
import { hexSchema, type Target } from '../../chain/abi.ts'
import { evmErrors } from '../../chain/errors.ts'
import type { EvmChain } from '../../chain/evm-chain.ts'
import type { Hex } from '../../crypto/bytes.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { sendNext } from '../../sending/send-next.ts'
import { depositCall, permit2DepositCall, withdrawCalls } from '../calls.ts'
import type { ChannelConfig } from '../channel.ts'
import { channelConfig, depositAuthorization } from '../wire.ts'
import { learnWhen, type PayerDesk, pause, readFunds } from './books.ts'
import { type DepositCaps, depositRules } from './caps.ts'
import { broughtSchema, signFilling } from './deposit.ts'
import { channelErrors } from './errors.ts'
import { type ChannelOffer, channelOffer } from './offer.ts'

/** A channel in a payer's books. Amounts in atomic units of `token`. */
export type PayerChannel = {
  readonly id: Hex
  readonly network: string
  readonly receiver: string
  readonly token: string
  /** The request that opened it, such as `GET https://shop.example/goods`, where that is known. */
  readonly asked?: string
  readonly books: {
    readonly balance: bigint
    readonly charged: bigint
    /** All that was ever signed for: as much the receiver can claim. */
    readonly signed: bigint
    /** What can still be signed for. */
    readonly left: bigint
    /** A deposit under way. */
    readonly depositing: bigint
  }
  /** What the chain says, where it was asked. */
  readonly chain?: {
    readonly balance: bigint
    readonly claimed: bigint
    readonly withdrawing: bigint
    /** Unix seconds from which a withdrawal can be finished. */
    readonly withdrawableAt?: number
  }
}

/** What a transaction of the payer's own did. */
export type ChannelMove = { readonly transaction: string; readonly amount: bigint }

/** The payer's channels, and the ways in and out of them that need no seller: he sends, and pays the gas. */
export interface PayerChannels {
  /** The channels in the books, each held against its chain where there is a connection. Errors: those of the store and of the chain. */
  list(options?: Abortable): AsyncIterable<PayerChannel>
  /** Puts more into a channel. Errors: `evm/no-channel`, `evm/deposit-cap`, `evm/not-mined`, `evm/approval-required`, those of sending. */
  topUp(id: string, amount: bigint, options?: Abortable): Promise<ChannelMove>
  /**
   * Says on chain that all that is not claimed will be taken out. Until `withdrawableAt` the receiver may still claim what was signed;
   * nothing more is paid over the channel. Errors: `evm/no-channel`, `evm/not-withdrawable`, `evm/not-mined`, those of sending.
   */
  startWithdrawal(id: string, options?: Abortable): Promise<ChannelMove & { readonly withdrawableAt: number }>
  /** Takes out what was announced, once its time has come. Errors: those of `startWithdrawal`. */
  finishWithdrawal(id: string, options?: Abortable): Promise<ChannelMove>
}

/** What leaving channels takes. */
export type PayerChannelsOptions = DepositCaps & {
  /** The payer's key, or who signs for him: deposits need it. */
  readonly signer: EvmSigner
  readonly store: { readonly channels: ChannelStore }
  /** Connections with the payer, or the key that signs his vouchers, among their signers. */
  readonly chains?: readonly EvmChain[]
  /** How long to wait for a transaction to be mined, in milliseconds; 120,000 unless given. */
  readonly waitMs?: number
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  /** Unix milliseconds. */
  readonly clock?: () => number
}

type Abortable = { readonly signal?: AbortSignal | undefined }
type Desk = PayerDesk & { readonly evm: (network: string) => EvmChain; readonly waitMs: number }
type Row = { readonly channel: Channel; readonly config: ChannelConfig; readonly id: Hex }

/** The channels of a payer, over the store that his client keeps them in. */
export function payerChannels(options: PayerChannelsOptions): PayerChannels {
  const { signer, store, chains = [], waitMs = 120_000, clock = Date.now } = options
  const { random = (bytes) => crypto.getRandomValues(bytes) } = options
  const chainOf = (network: string) => chains.find((chain) => chain.network === network)
  const evm = (network: string): EvmChain => {
    const chain = chainOf(network)
    if (chain === undefined) throw evmErrors('evm/no-chain', { network })
    return chain
  }
  const rules = depositRules(options, { store: store.channels, chainOf })
  const book = channelBook(store.channels, { side: 'payer' })
  const desk: Desk = { book, rules, signer, chainOf, random, clock, oneByOne: new Set(), evm, waitMs }
  const isMine = ({ config }: Channel) => sameAddress(String(config.payer), signer.address)
  const found = async (id: string): Promise<Row> => {
    const channel = await book.find(id.toLowerCase())
    const config = z.safeParse(channelConfig, channel?.config)
    if (channel === undefined || !config.success || !isMine(channel)) throw channelErrors('evm/no-channel', { channelId: id })
    return { channel, config: config.data, id: hexSchema.parse(channel.id) }
  }
  return {
    async *list({ signal } = {}) {
      for await (const channel of store.channels.list({ side: 'payer' })) if (isMine(channel)) yield await seen(desk, channel, signal)
    },
    topUp: async (id, amount, { signal } = {}) => topUp(desk, await found(id), { amount, signal }),
    async startWithdrawal(id, { signal } = {}) {
      const row = await found(id)
      const { balance, claimed, withdrawing } = await chainSays(desk, row, signal)
      const refused = (why: string) => channelErrors('evm/not-withdrawable', { channelId: id, why })
      if (withdrawing > 0n) throw refused('a withdrawal is under way already')
      if (balance <= claimed) throw refused('nothing is left in it')
      const amount = balance - claimed
      const { transaction } = await sendAs(desk, row, { call: withdrawCalls(row.config, amount).initiate, signal })
      await learnWhen(desk, at(row), { isSeen: (funds) => funds.withdrawing > 0n, signal })
      const { withdrawalAt } = (await book.find(row.id))?.funds ?? row.channel.funds
      return { transaction, amount, withdrawableAt: withdrawalAt + row.config.withdrawDelay }
    },
    async finishWithdrawal(id, { signal } = {}) {
      const row = await found(id)
      const { balance, withdrawing, withdrawalAt } = await chainSays(desk, row, signal)
      const refused = (why: string) => channelErrors('evm/not-withdrawable', { channelId: id, why })
      if (withdrawing === 0n) throw refused('no withdrawal was started, or it is done')
      const due = withdrawalAt + row.config.withdrawDelay
      if ((await chainTime(desk.evm(row.channel.network), signal)) < due) {
        throw refused(`its receiver has until ${new Date(due * 1000).toISOString()} to claim`)
      }
      const { transaction } = await sendAs(desk, row, { call: withdrawCalls(row.config, withdrawing).finalize, signal })
      await learnWhen(desk, at(row), { isSeen: (funds) => funds.withdrawing === 0n, signal })
      const after = (await book.find(row.id))?.funds.balance ?? balance
      return { transaction, amount: balance - after }
    },
  }
}

function at({ id, channel: { network } }: Row): { readonly id: Hex; readonly network: string } {
  return { id, network }
}

async function seen(desk: Desk, channel: Channel, signal: AbortSignal | undefined): Promise<PayerChannel> {
  const id = hexSchema.parse(channel.id)
  const { network, config } = channel
  const funds = await readFunds(desk, { id, network }, signal)
  const learned = funds && (await desk.book.change(id, (row) => same(learnPayerFunds(row, funds))))
  const row = learned ?? channel
  const delay = Number(config.withdrawDelay)
  return {
    id,
    network,
    receiver: String(config.receiver),
    token: String(config.token),
    ...(typeof config.asked === 'string' ? { asked: config.asked } : {}),
    books: {
      balance: row.funds.balance,
      charged: row.charged,
      signed: row.top,
      left: unsignedFunds(row),
      depositing: row.filling?.amount ?? 0n,
    },
    ...(funds === undefined
      ? {}
      : {
          chain: {
            balance: funds.balance,
            claimed: funds.claimed,
            withdrawing: funds.withdrawing,
            ...(funds.withdrawing > 0n ? { withdrawableAt: funds.withdrawalAt + delay } : {}),
          },
        }),
  }
}

function same(channel: Channel) {
  return { channel, result: channel }
}

async function chainSays(desk: Desk, row: Row, signal: AbortSignal | undefined) {
  desk.evm(row.channel.network)
  const funds = await readFunds(desk, at(row), signal)
  if (funds === undefined) throw evmErrors('evm/no-chain', { network: row.channel.network })
  await desk.book.change(row.id, (channel) => same(learnPayerFunds(channel, funds)))
  return funds
}

/** What has come into a channel by a deposit that was signed before it was sent, and is the same one when it is tried again. */
async function topUp(desk: Desk, row: Row, { amount, signal }: { readonly amount: bigint } & Abortable): Promise<ChannelMove> {
  const { book, clock, random, signer, rules } = desk
  const { network } = row.channel
  const chain = desk.evm(network)
  const before = await chainSays(desk, row, signal)
  const offer = offerOf(row)
  const until = (await chainTime(chain, signal)) + 600
  const fresh = await signFilling(offer, amount, { signer, random, until: BigInt(until), chain, offered: undefined, signal })
  const filling = await book.change(row.id, (channel) => {
    const standing = channel.filling
    if (standing !== undefined && standing.until > clock()) return { channel, result: standing }
    const made = { ...fresh, by: 'top-up' }
    return { channel: { ...channel, filling: made }, result: made }
  })
  if (filling === undefined) throw channelErrors('evm/no-channel', { channelId: row.id })
  if (filling.authorization === fresh.authorization && !(await rules.holds(offer))) {
    await book.change(row.id, ({ filling: _, ...channel }) => ({ channel, result: undefined }))
    throw await rules.overCap(offer, amount)
  }
  const { authorization } = broughtSchema.parse(filling.authorization)
  const { erc3009Authorization: byToken, permit2Authorization: byPermit2 } = depositAuthorization.parse(authorization)
  const { config } = row
  const call = byToken
    ? depositCall(config, { amount: filling.amount, ...byToken })
    : byPermit2 && permit2DepositCall(config, { amount: filling.amount, ...byPermit2 })
  if (call === undefined) throw channelErrors('evm/no-channel', { channelId: row.id })
  const { transaction } = await sendAs(desk, row, { call, signal })
  await learnWhen(desk, at(row), { isSeen: ({ balance }) => balance >= before.balance + filling.amount, signal })
  return { transaction, amount: filling.amount }
}

/** The offer that a channel was opened for, as far as a deposit needs it. */
function offerOf({ config, channel: { network } }: Row): ChannelOffer {
  const { receiverAuthorizer, withdrawDelay, payer, payerAuthorizer: voucherKey, salt, receiver: payTo, token: asset } = config
  const { eip712, transfer } = findAsset(network, asset) ?? {}
  const assetTransferMethod = transfer === 'permit2' ? { assetTransferMethod: 'permit2' } : {}
  const extra = { receiverAuthorizer, withdrawDelay, ...eip712, ...assetTransferMethod }
  const requirements = { scheme: 'batch-settlement', network, amount: '0', asset, payTo, maxTimeoutSeconds: 600, extra }
  const offer = channelOffer(requirements, { payer, voucherKey, salt, maxWithdrawDelay: withdrawDelay })
  if (typeof offer === 'string') throw evmErrors('evm/unsupported-terms', { why: offer })
  return offer
}

type Sending = Abortable & { readonly call: Target }

/** Sends as the payer, and waits until that is mined. Errors: `evm/not-mined`, `evm/not-withdrawable`. */
async function sendAs({ evm, waitMs }: Desk, { config, channel, id }: Row, { call, signal }: Sending): Promise<SignedTransaction> {
  const chain = evm(channel.network)
  const { payer, payerAuthorizer } = config
  // The escrow lets either of them out; a smart wallet sends no transactions of its own.
  const by = chain.signers.some((signer) => sameAddress(signer, payer)) ? payer : payerAuthorizer
  const signed = await sendNext(chain, { ...call, gas: chain.maxGasPerPayment, alone: true }, { by, signal })
  for (let waited = 0; waited <= waitMs; waited += pollMs) {
    const status = await chain.status(signed)
    if (status.state === 'mined' && status.success) return signed
    if (status.state === 'mined')
      throw channelErrors('evm/not-withdrawable', { channelId: id, why: `transaction ${signed.transaction} reverted` })
    await pause(pollMs, signal)
  }
  throw channelErrors('evm/not-mined', { transaction: signed.transaction, network: channel.network })
}

const pollMs = 250

async function chainTime({ rpc }: EvmChain, signal: AbortSignal | undefined): Promise<number> {
  const block = z.looseObject({ timestamp: hexSchema })
  const { timestamp } = await rpc.ask({ method: 'eth_getBlockByNumber', params: ['latest', false], result: block }, { signal })
  return Number(timestamp)
}
