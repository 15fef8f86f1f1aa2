import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import type { EvmChain } from '@flow402x/testing'
import { openPurse } from '../houses/purse.ts'
import { paths, price } from '../houses/terms.ts'
import { hammer } from './load.ts'
import type { Role } from './role.ts'

/** A seller over channels in a process of its own, and payers of it whose channels are filled. */
export type ChannelShop = {
  readonly url: string
  /** Each signs payments of one price, one after the other, as headers. */
  readonly purses: readonly { take(count: number): Promise<readonly string[]> }[]
  /** Pays so many requests, by all payers at once: how many come to a second of the seller's CPU. */
  perCore(count: number): Promise<number>
}

type Opening = { readonly seller: Role<{ url: string }, Record<never, never>>; readonly payers: number; readonly salt: bigint }

/** Opens a channel for each payer, from this salt on. */
export async function openChannelShop(chain: EvmChain, { seller, payers, salt }: Opening): Promise<ChannelShop> {
  const url = `${seller.ready.url}${paths.goods}`
  const asked = await fetch(url)
  const [accepted] = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '').accepts
  if (accepted === undefined) throw new Error(`${url} asks for nothing.`)
  const purses: ChannelShop['purses'][number][] = []
  for (let index = 0n; index < payers; index += 1n) {
    const purse = await openPurse(chain, { accepted, salt: salt + index, holds: 20_000n * price.atomic })
    let signed = 0n
    const next = async (): Promise<string> => {
      signed += price.atomic
      return paymentSignatureHeader.encode(await purse.pay(signed))
    }
    purses.push({ take: (count) => inTurn(count, next) })
  }
  return {
    url,
    purses,
    async perCore(count) {
      const each = Math.ceil(count / payers)
      const payments = await Promise.all(purses.map((purse) => purse.take(each)))
      const before = await seller.usage()
      await hammer({ url, requests: each * payers, connections: payers, status: 200, payments })
      return (1e6 * each * payers) / ((await seller.usage()).cpu - before.cpu)
    },
  }
}

/** What `next` gives, so many times, one after the other. */
export async function inTurn<Value>(count: number, next: () => Promise<Value>): Promise<Value[]> {
  const values: Value[] = []
  for (let index = 0; index < count; index += 1) values.push(await next())
  return values
}
