// A stream that is paid while it flows, whole. The README of the package quotes this file.
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { type Client, streamWallet } from '@flow402x/client'
import type { Facilitator, Store } from '@flow402x/core'
import { payStream, type StreamChunk } from '@flow402x/stream/client'
import { streamed, ticks } from '@flow402x/stream/express'
import { createStreams, type Source, type Streams } from '@flow402x/stream/server'
import express, { type Express } from 'express'

/** What a seller is made of. */
export type Selling = {
  readonly network: string
  readonly payTo: string
  readonly rpcUrl: string
  readonly store: Store
  readonly facilitator: Facilitator
  readonly secret: string
}

/** A source that is sold by the second, at `/live`. */
export function streamShop(
  { network, payTo, rpcUrl, store, facilitator, secret }: Selling,
  source: Source,
): { readonly app: Express; readonly streams: Streams } {
  const app = express()
  // #region seller
  const scheme = batchSettlementServer({ network, payTo, rpcUrl, store })
  const streams = createStreams({ schemes: [scheme], facilitator, store, secret })
  const route = streams.route({ rate: '0.01 USD/second', tickUrl: '/live/tick' })
  app.get('/live', streamed(route, source))
  app.post('/live/tick', ticks(route))
  // #endregion
  return { app, streams }
}

/** A second of a stream, and what it cost. */
export async function readSecond(
  { client, url }: { readonly client: Client; readonly url: string },
  show: (chunk: StreamChunk) => void,
): Promise<{ units: string; consumed: bigint }> {
  // #region buyer
  const stream = await payStream({ wallet: streamWallet(client), url, units: '1', budget: '$1' })
  for await (const chunk of stream) show(chunk)
  const { units, consumed } = await stream.receipt
  // #endregion
  return { units, consumed }
}
