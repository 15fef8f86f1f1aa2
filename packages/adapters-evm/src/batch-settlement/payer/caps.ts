import {
  type Channel,
  type ChannelStore,
  findAsset,
  formatAmount,
  lockedFunds,
  nextBase,
  parsePrice,
  sameAddress,
  toAtomic,
  usableFunds,
} from '@flow402x/core'
import { decodeWord, encodeCall, hexSchema } from '../../chain/abi.ts'
import { payerErrors } from '../../crypto/errors.ts'
import type { ChannelConfig } from '../channel.ts'
import type { ChannelReader } from './books.ts'
import { channelErrors } from './errors.ts'
import type { ChannelOffer } from './offer.ts'

/** How much of a payer's money may lie in channels, as prices in dollars. */
export type DepositCaps = {
  /** With one receiver in one asset, over all its channels; `"$5"` unless given. A function says it anew for each deposit. */
  readonly maxDeposit?: string | (() => string)
  /** With all receivers together; `"$25"` unless given. */
  readonly maxLocked?: string
  /** Deposits also where the payer has no coin for the gas of his own way out, and so depends on the seller to get it back. */
  readonly allowStuckDeposits?: boolean
}

/** What deposits are judged by. */
export type DepositRules = {
  /** How much to deposit, so that the next payment fits; nothing where it fits already and more would pass a cap. Errors: `evm/deposit-cap`, `evm/no-exit`, `evm/wallet-short`. */
  size(offer: ChannelOffer, channel: Channel, options: { readonly signal?: AbortSignal | undefined }): Promise<bigint | undefined>
  /** Whether what is written down by now stays within the caps: two processes may both have found room. */
  holds(offer: ChannelOffer): Promise<boolean>
  /** What tells that so much more would pass a cap, once nothing of it is written down. */
  overCap(offer: ChannelOffer, needed: bigint): Promise<Error>
}

// Dollars are counted in parts of 10^-18, which every asset worth a dollar divides exactly.
const dollarDecimals = 18
// What a withdrawal uses on chain, in two transactions.
const exitGas = 200_000n
const usualPrices = 10n

/** Makes the rules. Errors: `config/bad-price`, `evm/unsupported-terms` for a cap that is not in dollars. */
export function depositRules(
  { maxDeposit = '$5', maxLocked = '$25', allowStuckDeposits = false }: DepositCaps,
  { store, chainOf }: { readonly store: ChannelStore; readonly chainOf: (network: string) => ChannelReader | undefined },
): DepositRules {
  const capNow = typeof maxDeposit === 'string' ? () => maxDeposit : maxDeposit
  const all = inDollars(maxLocked)
  // What is wrong with it is said before it is needed.
  inDollars(capNow())
  async function room({ config, network, asset }: ChannelOffer): Promise<bigint> {
    let [mine, whole] = [inDollars(capNow()), all]
    for await (const channel of store.list({ side: 'payer' })) {
      const known = findAsset(channel.network, String(channel.config.token))
      if (known === undefined || !sameAddress(String(channel.config.payer), config.payer)) continue
      const locked = scaled(lockedFunds(channel), known.decimals)
      whole -= locked
      const isHere = channel.network === network && sameAddress(String(channel.config.receiver), config.receiver)
      if (isHere && sameAddress(known.address, asset.address)) mine -= locked
    }
    if (whole < mine) mine = whole
    return mine / 10n ** BigInt(dollarDecimals - asset.decimals)
  }

  async function overCap(offer: ChannelOffer, needed: bigint): Promise<Error> {
    const { asset, config } = offer
    const left = await room(offer)
    const shown = { needed: formatAmount(needed, asset), room: formatAmount(left > 0n ? left : 0n, asset) }
    return channelErrors('evm/deposit-cap', { receiver: config.receiver, ...shown, cap: capNow(), all: maxLocked })
  }

  return {
    overCap,
    holds: async (offer) => (await room(offer)) >= 0n,
    async size(offer, channel, { signal }) {
      const { amount, minDeposit = 0n, config, network } = offer
      const short = nextBase(channel, amount) + amount - usableFunds(channel)
      const shortfall = short > 0n ? short : 0n
      // A hint, and no more: it is never followed past the caps (A22).
      const wanted = minDeposit >= amount ? minDeposit : usualPrices * amount
      const left = await room(offer)
      if (left < shortfall) throw await overCap(offer, shortfall)
      const chain = chainOf(network)
      if (chain !== undefined && !allowStuckDeposits) await assertExit(chain, config, signal)
      const held = chain === undefined ? left : await balanceOf(chain, { token: config.token, payer: config.payer, signal })
      // What cannot move is not signed: it would stand in the books as long as it lives.
      if (held < shortfall) throw channelErrors('evm/wallet-short', { receiver: config.receiver, needed: shortfall, held })
      const sized = wanted > shortfall ? wanted : shortfall
      const deposit = [held, left].reduce((least, one) => (one < least ? one : least), sized)
      return deposit < amount && shortfall === 0n ? undefined : deposit
    },
  }
}

function inDollars(text: string): bigint {
  const price = parsePrice(text)
  if (price.symbol !== 'USD') throw payerErrors('evm/unsupported-terms', { why: `the cap "${text}" is not in dollars` })
  return toAtomic(price.amount, dollarDecimals)
}

function scaled(units: bigint, decimals: number): bigint {
  return units * 10n ** BigInt(dollarDecimals - decimals)
}

/** M31: whoever cannot pay for his way out depends on the seller. The key that signs vouchers may take it as well. */
async function assertExit({ rpc, network }: ChannelReader, config: ChannelConfig, signal: AbortSignal | undefined): Promise<void> {
  const { payer, payerAuthorizer } = config
  const ask = (method: string, params: readonly string[]) => rpc.ask({ method, params, result: hexSchema }, { signal })
  const [price, own, other] = await Promise.all([
    ask('eth_gasPrice', []),
    ask('eth_getBalance', [payer, 'latest']),
    ask('eth_getBalance', [payerAuthorizer, 'latest']),
  ])
  const needed = exitGas * BigInt(price)
  if (BigInt(own) >= needed || BigInt(other) >= needed) return
  throw channelErrors('evm/no-exit', { address: payerAuthorizer, network, held: BigInt(other), needed })
}

type Holding = { readonly token: string; readonly payer: `0x${string}`; readonly signal: AbortSignal | undefined }

async function balanceOf(chain: ChannelReader, { token, payer, signal }: Holding): Promise<bigint> {
  const [answer] = await chain.read([{ target: token, data: encodeCall('0x70a08231', [payer]) }], { signal })
  return answer?.success === true ? (decodeWord(answer.data) ?? 0n) : 0n
}
