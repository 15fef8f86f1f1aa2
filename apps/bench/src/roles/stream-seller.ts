import type { RequestListener } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { oneUnit } from '@flow402x/core/stream'
import { streamed, ticks } from '@flow402x/stream/node'
import { createStreams, type Source, sockets } from '@flow402x/stream/server'
import { WebSocketServer } from 'ws'
import { type Books, storeOf } from '../houses/books.ts'
import { listen } from '../houses/listen.ts'
import { ourChannelFacilitator } from '../houses/our-channels.ts'
import { network } from '../houses/terms.ts'
import { playRole, roleArgument } from '../measure/part.ts'

/** Who sells streams: lanes that stay open without a word, seconds of a recording, and tokens that come as fast as they are paid. */
export type StreamSellerArgument = {
  readonly books: Books
  readonly rpcUrl: string
  readonly key: string
  readonly payTo: string
}

/** `play` delivers so many seconds of the recording on each of its lanes; `heap` says how many bytes are alive in it, with everything dead collected. */
export type StreamSellerCalls = { readonly play: (seconds: number) => void; readonly heap: () => number }

const { books, rpcUrl, key, payTo } = roleArgument<StreamSellerArgument>()
const store = await storeOf(books)
const scheme = batchSettlementServer({ network, payTo, rpcUrl, store, authorizer: privateKeySigner(key) })
const forLong = 1e9
const streams = createStreams({
  schemes: [scheme],
  facilitator: await ourChannelFacilitator({ rpcUrl, key }),
  store,
  // As many ticks as come, and gated lanes that wait: what a tick and a waiting stream cost is measured.
  ticksPerSecond: 1e9,
  lease: forLong,
  patience: { gated: forLong, paused: forLong, detached: forLong },
})
// An atomic unit a second: each tick is for a second.
const second = '0.000001 USD/second'
const idle = streams.route({ rate: second, tickUrl: '/idle/tick' })
const film = streams.route({ rate: second, clock: 'media', tickUrl: '/film/tick', ws: '/film/ws' })
const tokens = streams.route({ rate: '0.0001 USD/token', tickUrl: '/tokens/tick' })
const nothing: Source = async function* ({ signal }) {
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  yield* []
}
// Ticks come faster than the seconds that they pay, which are delivered together when the load says so.
let played = once<number>()
const reel: Source = async function* () {
  for (;;) yield await played.promise
}
const secondsOf = (item: unknown): bigint => BigInt(String(item)) * oneUnit
const words: Source = async function* () {
  for (;;) yield 'token'
}
const pages: Readonly<Record<string, RequestListener>> = {
  '/idle': streamed(idle, nothing),
  '/film': streamed(film, reel, { units: secondsOf }),
  '/film/tick': ticks(film),
  '/tokens': streamed(tokens, words),
  '/tokens/tick': ticks(tokens),
  // The connection alone, as any stream of events has it.
  '/plain': (_, response) => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders(),
}
const serve: RequestListener = (request, response) => pages[request.url?.split('?')[0] ?? '']?.(request, response)
const upgrade = sockets(film, {
  sockets: new WebSocketServer({ noServer: true }),
  units: secondsOf,
  async serve(socket) {
    while (await socket.send(String(await played.promise)));
  },
})
setFlagsFromString('--expose-gc')
// The flag puts it into contexts that are made from then on.
const collect = runInNewContext('gc') as () => void
const calls: StreamSellerCalls = {
  play(seconds) {
    const { resolve } = played
    played = once()
    resolve(seconds)
  },
  heap() {
    collect()
    return process.memoryUsage().heapUsed
  },
}

playRole({ url: await listen(serve, (request, socket, head) => void upgrade(request, socket, head)) }, calls)

function once<Value>() {
  let resolve: (value: Value) => void = () => {}
  const promise = new Promise<Value>((given) => {
    resolve = given
  })
  return { promise, resolve }
}
