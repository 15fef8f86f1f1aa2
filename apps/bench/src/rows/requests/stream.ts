import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { network } from '../../houses/terms.ts'
import { type ChannelShop, inTurn, openChannelShop } from '../../measure/channel-shop.ts'
import { interleave } from '../../measure/interleave.ts'
import { type Lanes, lanesOf, type Payer, postOf, type Reading, readPlain, type Ticking } from '../../measure/lanes.ts'
import { awake, connectTo } from '../../measure/load.ts'
import { inFlight } from '../../measure/part.ts'
import { type Role, startRole, withRoles } from '../../measure/role.ts'
import { atLeast, atLeastOfOfficial, atMost, type Context, type Figure, figureOf, percentile, type Row } from '../../report/figure.ts'
import type { ChannelSellerArgument } from '../../roles/channel-seller.ts'
import type { StreamSellerArgument, StreamSellerCalls } from '../../roles/stream-seller.ts'

const row = 'stream'

/** Streams over channels: what a signed tick costs, what an idle stream costs, and how soon money moves it again. */
export const stream: Row = {
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

const contenders = ['POST', 'WebSocket', 'SQLite', 'official'] as const
type Contender = (typeof contenders)[number]
type Seller = Role<{ url: string }, StreamSellerCalls>
type Official = Role<{ url: string }, Record<never, never>>
// As many lanes at once, each over a channel of its own and with one tick under way: so each tick is verified by itself.
const lanes = 8
const counts: Readonly<Record<Contender, number>> = { POST: 8000, WebSocket: 8000, SQLite: 8000, official: 400 }
// So many ticks of a lane come before the seconds that they pay have passed: a channel keeps 32 vouchers apart.
const ahead = 28
// What a token costs.
const token = 100n
// A channel carries so many lanes at most.
const lanesOfChannel = 8

async function figures({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<readonly Figure[]> {
  const account = { rpcUrl: chain.rpcUrl, key: chain.seller.privateKey, payTo: chain.seller.address }
  const start = (books: StreamSellerArgument['books']): Promise<Seller> =>
    startRole('stream-seller', { argument: { ...account, books } satisfies StreamSellerArgument, profiles, name: `${row}-${books}` })
  const argument: ChannelSellerArgument = { ...account, house: 'official', framework: 'Express', curve: 'native', books: 'memory' }
  const sellers = [
    start('memory'),
    start('SQLite'),
    startRole<{ url: string }>('channel-seller', { argument, profiles, name: `${row}-official` }),
  ]
  return withRoles(sellers, async () => {
    // `withRoles` has waited for all of them.
    const [memory, sqlite, official] = (await Promise.all(sellers)) as [Seller, Seller, Official]
    onProgress('signed ticks on eight lanes')
    const ticked = await tickFigures(chain, { memory, sqlite, official, rounds, share })
    onProgress('gates that open')
    const gates = await gateFigures(chain, { seller: memory, count: Math.max(5, Math.ceil(300 * share)) })
    onProgress('idle streams')
    const count = Math.max(64, Math.ceil(10_000 * share))
    const samples: Idle[] = []
    for (let salt = 10_000n; samples.length < Math.min(rounds, 3); salt += 10_000n) {
      samples.push(await idleSample(chain, { start: () => start('memory'), salt, count }))
    }
    const waiting = idleFigures(samples)
    return [...ticked, ...gates, ...waiting]
  })
}

type Ticks = {
  readonly memory: Seller
  readonly sqlite: Seller
  readonly official: Seller
  readonly rounds: number
  readonly share: number
}

async function tickFigures(chain: EvmChain, { memory, sqlite, official, rounds, share }: Ticks): Promise<readonly Figure[]> {
  const posting = await postedLanes(chain, memory, 1000n)
  const stored = await postedLanes(chain, sqlite, 2000n)
  const sockets = await socketLanes(chain, memory)
  const shop: ChannelShop = await openChannelShop(chain, { seller: official, payers: lanes, salt: 4000n })
  const ways: Readonly<Record<Contender, (count: number) => Promise<number>>> = {
    POST: posting.perCore,
    WebSocket: sockets.perCore,
    SQLite: stored.perCore,
    official: shop.perCore,
  }
  const samples = await interleave(contenders, {
    rounds,
    run: (name, { warm }) => ways[name](Math.max(lanes * 2, Math.ceil(counts[name] * share * (warm ? 0.5 : 1)))),
  })
  for (const one of [posting, stored, sockets]) one.end()
  const figure = 'signed ticks per second of the server’s CPU'
  const peer = { official: samples.official, note: 'the official server has no ticks: its paid requests over a channel' }
  return [
    figureOf({ row, figure: `${figure}, by POST`, unit: '/s', ours: samples.POST, ...peer }, [atLeast(8000, '/s'), atLeastOfOfficial(12)]),
    figureOf({ row, figure: `${figure}, by WebSocket`, unit: '/s', ours: samples.WebSocket, official: samples.official }, [
      atLeast(8000, '/s'),
      atLeastOfOfficial(12),
    ]),
    figureOf({ row, figure: `${figure}, by POST, books in SQLite`, unit: '/s', ours: samples.SQLite, official: samples.official }),
  ]
}

type Way = { readonly perCore: (count: number) => Promise<number>; end(): void }

async function postedLanes(chain: EvmChain, seller: Seller, salt: bigint): Promise<Way> {
  const stream = await lanesOf(chain, { url: `${seller.ready.url}/film`, salt, holds: 1_000_000n })
  const open = await inTurn(lanes, async () => {
    const payer = await stream.newPayer()
    return { payer, reading: await stream.read(payer, 1n) }
  })
  return {
    async perCore(count) {
      const each = Math.ceil(count / lanes)
      const posts = await Promise.all(open.map(({ payer, reading: { sid } }) => inTurn(each, () => postOf(payer, sid))))
      const lines = await connectTo(`${seller.ready.url}/film/tick`, lanes)
      const before = await seller.usage()
      for (let from = 0; from < each; from += ahead) {
        const some = posts.map((all) => all.slice(from, from + ahead))
        await lines.send({ requests: some.flat().length, status: 200, posts: some })
        await seller.call('play', ahead)
      }
      const after = await seller.usage()
      lines.end()
      return (1e6 * each * lanes) / (after.cpu - before.cpu)
    },
    end: () => {
      for (const { reading } of open) reading.end()
    },
  }
}

async function socketLanes(chain: EvmChain, seller: Seller): Promise<Way> {
  const stream = await lanesOf(chain, { url: `${seller.ready.url}/film`, salt: 3000n, holds: 1_000_000n })
  const open = await inTurn(lanes, async (): Promise<Ticking> => stream.socket(await stream.newPayer(), 1n))
  return {
    async perCore(count) {
      const each = Math.ceil(count / lanes)
      const frames = await Promise.all(open.map((one) => inTurn(each, one.frame)))
      const before = await seller.usage()
      for (let from = 0; from < each; from += ahead) {
        const some = frames.map((all) => all.slice(from, from + ahead))
        const ticked = open.map(async (one, index) => {
          for (const frame of some[index] ?? []) await one.tick(frame)
        })
        await awake(Promise.all(ticked))
        await seller.call('play', ahead)
      }
      return (1e6 * each * lanes) / ((await seller.usage()).cpu - before.cpu)
    },
    end: () => {
      for (const one of open) one.end()
    },
  }
}

async function gateFigures(
  chain: EvmChain,
  { seller, count }: { readonly seller: Seller; readonly count: number },
): Promise<readonly Figure[]> {
  const { url } = seller.ready
  const stream = await lanesOf(chain, { url: `${url}/tokens`, salt: 5000n, holds: 1_000_000n })
  const payer = await stream.newPayer()
  const firsts: number[] = []
  for (let index = 0; index < Math.min(count, 50); index += 1) {
    const reading = await stream.read(payer, token)
    firsts.push(reading.first)
    await post(`${url}/tokens/tick`, JSON.stringify({ sid: reading.sid, op: 'close' }))
    reading.end()
  }
  const reading = await stream.read(payer, token)
  const waits: number[] = []
  for (let index = 0; index < count; index += 1) {
    const tick = await postOf(payer, reading.sid, token)
    const sent = performance.now()
    const came = reading.more()
    await post(`${url}/tokens/tick`, tick)
    waits.push((await came) - sent)
  }
  reading.end()
  return [
    figureOf({ row, figure: 'from the payment to the first byte, p50', unit: 'ms', ours: [percentile(firsts, 0.5)] }, [atMost(50, 'ms')]),
    figureOf({ row, figure: 'from a tick to the next piece of a gated stream, p50', unit: 'ms', ours: [percentile(waits, 0.5)] }, [
      atMost(5, 'ms'),
    ]),
  ]
}

async function post(url: string, body: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const said = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${said}`)
}

type Idle = { readonly memory: number; readonly floor: number; readonly open: number }

/** Idle streams in a process that did nothing before: what one has let go would hide what a stream takes. */
async function idleSample(
  chain: EvmChain,
  { start, salt, count }: { readonly start: () => Promise<Seller>; readonly salt: bigint; readonly count: number },
): Promise<Idle> {
  const sellers = [start(), start()]
  return withRoles(sellers, async () => {
    // `withRoles` has waited for both.
    const [seller, bare] = (await Promise.all(sellers)) as [Seller, Seller]
    const stream: Lanes = await lanesOf(chain, { url: `${seller.ready.url}/idle`, salt, holds: 100_000n })
    const { memory, open } = await kibibytesEach(seller, {
      count,
      async open(some) {
        const channels = Math.ceil(some / lanesOfChannel)
        const fresh: readonly Payer[] = await inTurn(channels, stream.newPayer)
        const opened: Reading[] = []
        await inFlight({ count: channels, most: 8 }, async (index) => {
          const payer = fresh[index]
          if (payer !== undefined) opened.push(...(await inTurn(lanesOfChannel, () => stream.read(payer, 1n))))
        })
        return opened
      },
    })
    const plain = await kibibytesEach(bare, { count, open: (some) => inTurn(some, () => readPlain(`${bare.ready.url}/plain`)) })
    return { memory, floor: plain.memory, open }
  })
}

function idleFigures(samples: readonly Idle[]): readonly Figure[] {
  const of = (field: keyof Idle) => samples.map((one) => one[field])
  const note = 'floor: a stream of events without payments'
  return [
    figureOf({ row, figure: 'memory per idle stream', unit: 'KiB', ours: of('memory'), floor: of('floor'), note }, [atMost(16, 'KiB')]),
    figureOf({ row, figure: 'streams open at once in one process', unit: '', ours: of('open') }, [atLeast(10_000, 'streams')]),
  ]
}

type Opening = { readonly count: number; readonly open: (some: number) => Promise<readonly { end(): void }[]> }

/** How much the memory of a seller grows with each of so many streams, after a few that warm it up. */
async function kibibytesEach(seller: Seller, { count, open }: Opening): Promise<{ readonly memory: number; readonly open: number }> {
  // What opening them has left behind is no stream's: how much of it is still there is chance.
  const memoryOf = async (): Promise<number> => {
    await seller.call('heap', undefined)
    return (await seller.usage()).memory
  }
  const warm = await open(32)
  const before = await memoryOf()
  const opened = await open(count)
  const after = await memoryOf()
  for (const one of [...warm, ...opened]) one.end()
  return { memory: (after - before) / opened.length / 1024, open: opened.length }
}
