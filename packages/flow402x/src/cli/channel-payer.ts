import {
  batchSettlementClient,
  type PayerChannelEvent,
  type PayerChannels,
  payerChannels,
  privateKeySigner,
} from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { type ClientScheme, findAsset, formatAmount, networkFamily, networks } from '@flow402x/core'
import { sqliteStore } from '@flow402x/store/sqlite'
import { findWalletFile } from '../wallet/home.ts'
import type { Terminal } from './command.ts'
import { rpcVariable } from './rpc-url.ts'

/** Who pays over channels, and keeps their books in the wallet's file. */
export type ChannelPayer = {
  readonly scheme: ClientScheme
  readonly channels: PayerChannels
  /** The EVM networks whose nodes the environment names, by CAIP-2 id. */
  readonly reachable: readonly string[]
  close(): Promise<void>
}

/** How somebody pays over channels. */
export type ChannelPayerOptions = {
  readonly key: string
  /** The only network to pay on, where one is named. */
  readonly network?: string | undefined
  readonly maxDeposit?: string | undefined
  readonly onEvent?: (event: PayerChannelEvent) => void
}

/** Opens the wallet's file, which the environment names or the home directory holds; nothing without either: lost books cost a round trip, and a channel that nobody remembers its deposit. */
export async function channelPayer(env: Terminal['env'], options: ChannelPayerOptions): Promise<ChannelPayer | undefined> {
  const file = await findWalletFile(env)
  if (file === undefined) return undefined
  const { key, network, maxDeposit, onEvent } = options
  const signer = privateKeySigner(key)
  const chains = networks.flatMap(({ network: id }) => {
    const rpcUrl = networkFamily(id) === 'eip155' ? env[rpcVariable(id)] : undefined
    return rpcUrl === undefined || rpcUrl === '' ? [] : [evmChain({ network: id, rpcUrl, signers: [key] })]
  })
  const store = sqliteStore(file)
  const common = { signer, store, chains, ...(maxDeposit === undefined ? {} : { maxDeposit: dollars(maxDeposit) }) }
  return {
    scheme: batchSettlementClient({ ...common, ...(network && { networks: [network] }), ...(onEvent && { onEvent }) }),
    channels: payerChannels(common),
    reachable: chains.map((chain) => chain.network),
    close: () => store.close(),
  }
}

/** An amount of a channel's token as people read it. */
export function shown(units: bigint, { network, token }: { readonly network: string; readonly token: string }): string {
  const asset = findAsset(network, token)
  return asset === undefined ? `${units} units of ${token}` : formatAmount(units, asset)
}

/** A price in dollars, whether or not its sign was typed. */
export function dollars(text: string): string {
  return text.startsWith('$') ? text : `$${text}`
}

/** What happened on a channel, in one line. */
export function tellOf(event: PayerChannelEvent): string {
  const channel = `channel ${event.channelId.slice(0, 10)}…`
  if (event.type === 'deposited') return `fill ${channel} has ${shown(event.amount, event)} more, by transaction ${event.transaction}`
  return `drew ${shown(event.amount, event)} from ${channel}, which has ${shown(event.left, event)} left`
}
