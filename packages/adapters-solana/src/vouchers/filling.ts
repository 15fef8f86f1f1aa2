import { type Channel, type ChannelBook, unsignedFunds } from '@flow402x/core'
import { bytesToHex } from '@noble/hashes/utils'
import { solanaErrors } from '../chain/errors.ts'

/** With what a payer fills his channels. `maxDeposit`: the most that lies with one receiver and is not spent (atomic). */
export type Filler = {
  readonly book: ChannelBook
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  readonly clock: () => number
  readonly maxDeposit: bigint
}

/** What is missing in a channel; `row` is nothing where it is to be opened. Atomic units. */
export type Missing = { readonly id: string; readonly row: Channel | undefined; readonly need: bigint; readonly advised: bigint }

// For how long a deposit that was sent may still land (ms): the life of a blockhash, and more.
const fillingMs = 180_000

/**
 * Has `put` bring in what is missing, or what is advised, up to the cap: once, however many processes of the wallet want it. `spendable` is what
 * can be taken out of the channel already. Errors: `solana/deposit-cap`, `solana/channel-busy`, those of `put`.
 */
export async function fillChannel(
  { book, random, clock, maxDeposit }: Filler,
  { id, row, need, advised }: Missing,
  put: (filling: { readonly amount: bigint; readonly spendable: bigint }) => Promise<unknown>,
): Promise<void> {
  const left = row === undefined ? 0n : unsignedFunds(row)
  if (left >= need) return
  const spendable = row === undefined ? 0n : row.funds.balance - row.funds.claimed
  const wanted = advised > need - left ? advised : need - left
  const amount = spendable + wanted > maxDeposit ? maxDeposit - spendable : wanted
  if (left + amount < need) throw solanaErrors('solana/deposit-cap', { need: need - left, cap: maxDeposit, locked: spendable })
  if (row === undefined) {
    // Opening it twice fails: its accounts are there then.
    await put({ amount, spendable })
    return
  }
  const now = clock()
  const filling = { amount, until: now + fillingMs, by: bytesToHex(random(new Uint8Array(16))), authorization: {} }
  // What another process puts in right now is not put in twice.
  const mine = await book.change(id, (one) => {
    const isUnderWay = one.filling !== undefined && one.filling.until > now
    return { channel: isUnderWay ? one : { ...one, filling }, result: !isUnderWay }
  })
  if (mine !== true) throw solanaErrors('solana/channel-busy', { channel: id })
  try {
    await put({ amount, spendable })
  } finally {
    await book.change(id, ({ filling: under, ...rest }) => ({
      channel: under === undefined || under.by === filling.by ? rest : { ...rest, filling: under },
      result: undefined,
    }))
  }
}
