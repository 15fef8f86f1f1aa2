import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { fastestSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import { type PaymentRequirements, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type ChannelPayer, channelPayer } from '@flow402x/testing/contracts'
import { concat, type Hex, keccak256, numberToHex } from 'viem'
import { network, paths, price } from '../houses/terms.ts'
import { interleave } from '../measure/interleave.ts'
import { hammer } from '../measure/load.ts'
import { type Role, startRole, withRoles } from '../measure/role.ts'
import { atLeastOfOfficial, atMost, type Context, type Figure, figureOf, type Row } from '../report/figure.ts'
import type { ChannelSellerArgument } from '../roles/channel-seller.ts'

const row = 'voucher'

/** Paid requests over channels that are filled: a seller in a process of its own, and vouchers that were signed before. */
export const voucher: Row = {
  name: row,
  async run(context) {
    const chain = await startEvmChain({ network })
    try {
      return await figures(context, chain)
    } finally {
      await chain.stop()
    }
  },
}

const contenders = ['native', 'pure JS', 'SQLite', 'official'] as const
type Contender = (typeof contenders)[number]
type Sample = { readonly perCore: number; readonly p50: number; readonly p99: number }
// As many payers at once, each with a channel of his own: the official server serves one request of a channel at a time.
const payers = 8
// What a round takes of each, so that all take about as long.
const counts: Readonly<Record<Contender, number>> = { native: 4000, 'pure JS': 1600, SQLite: 4000, official: 400 }

async function figures({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<readonly Figure[]> {
  onProgress('vouchers over eight channels')
  const account = chain.seller
  const sellers = contenders.map((name) => {
    const argument: ChannelSellerArgument = {
      house: name === 'official' ? 'official' : 'ours',
      curve: name === 'pure JS' ? 'pure JS' : 'native',
      books: name === 'SQLite' ? 'SQLite' : 'memory',
      rpcUrl: chain.rpcUrl,
      key: account.privateKey,
      payTo: account.address,
    }
    return startRole<{ url: string }>('channel-seller', { argument, profiles, name: `${row}-${name.replace(' ', '-')}` })
  })
  const samples = await withRoles(sellers, async () => {
    const shops = new Map<Contender, Shop>()
    for (const [index, name] of contenders.entries()) {
      const seller = await sellers[index]
      if (seller !== undefined) shops.set(name, await openChannels(chain, { seller, salt: BigInt(index * payers) }))
    }
    return interleave(contenders, {
      rounds,
      run: (name, { warm }) => sample(shops.get(name), Math.max(payers * 2, Math.ceil(counts[name] * share * (warm ? 0.5 : 1)))),
    })
  })
  const of = (name: Contender, field: keyof Sample) => samples[name].map((one) => one[field])
  const official = (field: keyof Sample) => ({ official: of('official', field) })
  const perCore = 'paid requests per second of the server’s CPU'
  return [
    figureOf({ row, figure: `${perCore}, native verifier`, unit: '/s', ours: of('native', 'perCore'), ...official('perCore') }, [
      atLeastOfOfficial(20),
    ]),
    figureOf({ row, figure: `${perCore}, pure JS`, unit: '/s', ours: of('pure JS', 'perCore'), ...official('perCore') }, [
      atLeastOfOfficial(4),
    ]),
    figureOf({
      row,
      figure: `${perCore}, native verifier, books in SQLite`,
      unit: '/s',
      ours: of('SQLite', 'perCore'),
      ...official('perCore'),
      note: 'each charge is on disk before its answer leaves; the official books are in memory',
    }),
    figureOf({ row, figure: 'p50, one at a time', unit: 'ms', ours: of('native', 'p50'), ...official('p50') }, [atMost(0.3, 'ms')]),
    figureOf({ row, figure: 'p99, one at a time', unit: 'ms', ours: of('native', 'p99'), ...official('p99') }, [atMost(1.5, 'ms')]),
  ]
}

type Shop = { readonly url: string; readonly seller: Role<{ url: string }, Record<never, never>>; readonly purses: readonly Purse[] }
type Purse = { take(count: number): Promise<readonly string[]> }
type Opening = { readonly seller: Role<{ url: string }, Record<never, never>>; readonly salt: bigint }

async function openChannels(chain: EvmChain, { seller, salt }: Opening): Promise<Shop> {
  const url = `${seller.ready.url}${paths.goods}`
  const asked = await fetch(url)
  const [accepted] = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '').accepts
  if (accepted === undefined) throw new Error(`${url} asks for nothing.`)
  const purses: Purse[] = []
  for (let index = 0n; index < payers; index += 1n) purses.push(await openPurse(chain, accepted, salt + index))
  return { url, seller, purses }
}

async function openPurse(chain: EvmChain, accepted: PaymentRequirements, salt: bigint): Promise<Purse> {
  const payer: ChannelPayer = await channelPayer(chain, { key: chain.buyer.privateKey, accepted, salt })
  const filled = await payer.fill(20_000n * price.atomic, 1n)
  if (filled !== 'done') throw new Error(`A channel was not filled: ${filled}.`)
  const { payload, ...payment } = await payer.voucher(0n)
  const signer = privateKeySigner(chain.buyer.privateKey, { secp256k1: fastestSecp256k1() })
  let signed = 0n
  const next = async (): Promise<string> => {
    signed += price.atomic
    const signature = await signer.sign({ hash: digestOf(payer.id, signed) })
    const paid = { channelId: payer.id, maxClaimableAmount: `${signed}`, signature }
    return paymentSignatureHeader.encode({ ...payment, payload: { ...payload, voucher: paid } })
  }
  return {
    async take(count) {
      const headers: string[] = []
      for (let index = 0; index < count; index += 1) headers.push(await next())
      return headers
    },
  }
}

// wire.md §20: by hand, since a load of thousands would wait for typed data to be hashed.
const [domain, type] = [
  '0xfdef80764086b1e0fc6ba99f0cb9aa1d59109fda7c23d60334c89d2de44dffce',
  '0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69',
] as const

function digestOf(channelId: Hex, max: bigint): Hex {
  const voucher = keccak256(concat([type, channelId, numberToHex(max, { size: 32 })]))
  return keccak256(concat(['0x1901', domain, voucher]))
}

async function sample(shop: Shop | undefined, count: number): Promise<Sample> {
  if (shop === undefined) throw new Error('A seller is missing.')
  const { url, seller, purses } = shop
  const [first] = purses
  const alone = Math.ceil(count / 4)
  const { p50, p99 } = await hammer({ url, requests: alone, connections: 1, status: 200, payments: [(await first?.take(alone)) ?? []] })
  const each = Math.ceil(count / payers)
  const payments = await Promise.all(purses.map((purse) => purse.take(each)))
  const before = await seller.usage()
  await hammer({ url, requests: each * payers, connections: payers, status: 200, payments })
  const used = (await seller.usage()).cpu - before.cpu
  return { perCore: (1e6 * each * payers) / used, p50, p99 }
}
