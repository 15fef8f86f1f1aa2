import { type Changed, type Channel, type ChannelBook, type ChannelStore, channelBook } from '@flow402x/core'
import type { Rpc } from '../../chain/rpc.ts'
import { channelIdOf, type NonceChannel } from '../channel.ts'
import { type ChannelState, type Epoch, readChannel } from '../state.ts'
import { epochOf, learnState, type NonceRow, readRow, rowFor } from './row.ts'

/** A step over a channel of nonces, with what its row says of itself. */
export type NonceStep<Result> = (channel: Channel, row: NonceRow) => Changed<Result>

type Learning = { readonly channel?: NonceChannel | undefined; readonly signal?: AbortSignal | undefined }

/** The receiver's books of channels on nonces, and what the chain says of them. */
export interface NonceBooks {
  readonly store: ChannelStore
  /** The channel as it stands; nothing for what is not in these books. */
  find(id: string): Promise<Channel | undefined>
  /** As `ChannelBook.change`, for channels of this scheme alone. */
  change<Result>(id: string, step: NonceStep<Result>): Promise<Result | undefined>
  /**
   * Reads a channel and writes down what the chain says of it; opens it where it is not in the books and its terms are given. Nothing for
   * one that the chain does not have. Errors: those of `readChannel`.
   */
  learn(id: string, options: Learning): Promise<ChannelState | undefined>
  /** The epochs that this process has seen of a channel, the newest first: by what a tick may be signed. */
  epochs(id: string): readonly Epoch[]
}

/** What books are kept of. */
export type NonceBooksOptions = {
  readonly store: ChannelStore
  readonly rpc: Rpc
  readonly network: string
  readonly decimals: number
  /** Unix milliseconds. */
  readonly clock: () => number
}

const mostKnown = 4096

/** Books over a store. */
export function nonceBooks({ store, rpc, network, decimals, clock }: NonceBooksOptions): NonceBooks {
  const book: ChannelBook = channelBook(store, { side: 'receiver' })
  const seen = new Map<string, readonly Epoch[]>()
  // Readings of one channel that come together are one.
  const reading = new Map<string, Promise<ChannelState | undefined>>()

  const note = (id: string, { nonce, settled, last }: Epoch): void => {
    const [newest, ...older] = seen.get(id) ?? []
    if (newest?.nonce === nonce) return
    const [oldest] = seen.keys()
    if (seen.size >= mostKnown && oldest !== undefined) seen.delete(oldest)
    const others = [newest, ...older].filter((one) => one !== undefined && one.nonce !== nonce && one.settled <= settled)
    seen.set(id, [{ nonce, settled, ...(last === undefined ? {} : { last }) }, ...others.filter((one) => one !== undefined)].slice(0, 2))
  }
  const change: NonceBooks['change'] = (id, step) =>
    book.change(id, (channel) => {
      const row = readRow(channel)
      if (row === undefined || channel.network !== network) return { channel, result: undefined }
      const changed = step(channel, row)
      const after = changed.channel === channel ? row : (readRow(changed.channel) ?? row)
      note(id, epochOf(after))
      return changed
    })

  const find: NonceBooks['find'] = async (id) => {
    const channel = await book.find(id)
    const row = channel && readRow(channel)
    if (row === undefined || channel?.network !== network) return undefined
    note(id, epochOf(row))
    return channel
  }

  async function learn(id: string, { channel: named, signal }: Learning): Promise<ChannelState | undefined> {
    const now = clock()
    const known = await find(id)
    const row = known && readRow(known)
    const channel = row?.channel ?? named
    if (channel === undefined || channelIdOf(channel) !== id) return undefined
    const state = await readChannel(rpc, channel, { known: row && epochOf(row), signal })
    if (state === undefined) return undefined
    if (row === undefined) await book.open(rowFor(state, { channel, decimals, network, id, now }))
    await change(id, (one) => learnState(one, state, now))
    return state
  }

  return {
    store,
    find,
    change,
    epochs: (id) => seen.get(id) ?? [],
    learn(id, options) {
      const under = reading.get(id)
      if (under !== undefined) return under
      const started = learn(id, options).finally(() => reading.delete(id))
      reading.set(id, started)
      return started
    },
  }
}
