import type { IncomingMessage, ServerResponse } from 'node:http'
import { httpResource } from '@flow402x/bazaar/seller'
import type { Facilitator, ServerScheme, Store } from '@flow402x/core'
import type { Page } from '@flow402x/core/page'
import { oneUnit } from '@flow402x/core/stream'
import { bytes, streamed, ticks } from '@flow402x/stream/node'
import { createStreams, type SoldBytes } from '@flow402x/stream/server'
import * as z from 'zod/mini'
import { tokensOf } from './sample-seller.ts'
import { sampleVideo } from './sample-video.ts'

/** What the sample seller sells by the unit, as it is listed. */
export const streamRoutes = [
  { method: 'GET', path: '/video.mp4', price: '$0.01/second' },
  { method: 'GET', path: '/chat', price: '$0.0001/token' },
] as const

/** A listener of `node:http` for one method and path. */
export type Listener = (request: IncomingMessage, response: ServerResponse) => unknown

/** Streams that are sold: their listeners by method and path, and their end. */
export type SampleStreams = { readonly listeners: ReadonlyMap<string, Listener>; close(): Promise<void> }

/** How streams are paid. */
export type SampleStreamsOptions = {
  readonly schemes: readonly ServerScheme[]
  readonly facilitator: Facilitator
  readonly store: Store
  /** What people see. */
  readonly page: Page
}

const seconds = 60

const { terms: videoFacts } = httpResource({
  method: 'GET',
  path: '/video.mp4',
  serviceName: 'Sample video',
  description: 'A film of a minute, paid as it plays',
  category: 'media.video',
  mimeType: 'video/mp4',
})
const { terms: chatFacts } = httpResource({
  method: 'GET',
  path: '/chat',
  serviceName: 'Sample chat',
  description: 'A story word by word, paid as it is told',
  category: 'ai.chat',
  mimeType: 'text/event-stream',
  query: z.object({ prompt: z.string() }),
  example: { query: { prompt: 'a fox, a coin, the sea' } },
})

/** A video by the second and a chat by the token, over channels of every local chain. */
export function sampleStreams({ schemes, facilitator, store, page }: SampleStreamsOptions): SampleStreams {
  const streams = createStreams({ schemes, facilitator, store, page })
  const runners = schemes.flatMap(({ vouchers }) => vouchers?.runner({ facilitator }) ?? [])
  for (const runner of runners) runner.start()
  const video = streams.route({ ...videoFacts, rate: '0.01 USD/second', clock: 'media', tickUrl: '/video.mp4/tick' })
  const chat = streams.route({ ...chatFacts, rate: '0.0001 USD/token', buy: 50, window: 20, windowMax: 200, tickUrl: '/chat/tick' })
  let film: Promise<SoldBytes> | undefined
  const find = (): Promise<SoldBytes> => {
    film ??= sampleVideo({ seconds }).then(soldFilm)
    return film
  }
  return {
    listeners: new Map<string, Listener>([
      ['GET /video.mp4', bytes(video, { find })],
      ['POST /video.mp4/tick', ticks(video)],
      ['GET /chat', (request, response) => streamed(chat, words(request))(request, response)],
      ['POST /chat/tick', ticks(chat)],
    ]),
    async close() {
      await Promise.all(runners.map((runner) => runner.close()))
      await streams.close()
    },
  }
}

function soldFilm(film: Uint8Array): SoldBytes {
  const source = {
    size: film.length,
    type: 'video/mp4',
    etag: `"${film.length}"`,
    async *read(from: number, to: number) {
      yield film.subarray(from, to)
    },
  }
  return { source, length: BigInt(seconds) * oneUnit }
}

/** The story of a prompt, word by word, from where its reader has it. */
function words(request: IncomingMessage) {
  const prompt = new URL(request.url ?? '/', 'http://seller.invalid').searchParams.get('prompt')?.slice(0, 500) ?? 'a fox, a coin, the sea'
  return async function* ({ from, signal }: { readonly from: bigint; readonly signal: AbortSignal }) {
    let index = 0n
    for (const token of tokensOf(prompt)) {
      if (signal.aborted) return
      if (index * oneUnit >= from) {
        yield `${token} `
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      index += 1n
    }
  }
}
