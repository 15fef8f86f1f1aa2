import { join } from 'node:path'
import { oneUnit, readUnits } from '@flow402x/core/stream'
import { gated, ticks } from '@flow402x/stream/express'
import {
  type AnswerHead,
  type ByteMeter,
  byteMeter,
  createStreams,
  type Recording,
  type StreamEvent,
  type StreamRoute,
  wallMeter,
} from '@flow402x/stream/server'
import { paymentPage } from '@flow402x/web'
import type { RequestHandler, Response } from 'express'
import { streamErrors } from './errors.ts'
import { mediaOf } from './media.ts'
import type { Seller } from './seller.ts'
import { type FlowPrice, friendlyHeaders, rateText } from './words.ts'

/** How what follows is measured. */
export type RateOptions = {
  /** Dollars for each second. */
  readonly rate: FlowPrice
  /** `media`: the time of a recording, however fast it is fetched. `wall`: the time that passes, for what is made while it flows. `media` unless told. */
  readonly clock?: 'media' | 'wall' | undefined
  /** Seconds of the recording; read from its file unless told. */
  readonly duration?: number | undefined
  /** Bits of the recording for each second, instead of `duration`. */
  readonly bitrate?: number | undefined
  /** Seconds that are sent ahead of their time at most: 2 unless told. */
  readonly window?: number | undefined
  readonly onStream?: ((event: StreamEvent) => void) | undefined
}

/** Where ticks are posted, below the path of the middleware. */
const tickPath = '/flow402x-tick'

// A path of a client's own choice cannot fill the memory.
const mostRoutes = 64

/** Charges by the second for what follows. */
export function rateMiddleware(seller: Seller, options: RateOptions): RequestHandler {
  const { store, facilitator, secret, channels } = seller
  const { clock = 'media', window = 2, onStream } = options
  const page = paymentPage()
  const streams = createStreams({ schemes: [channels], facilitator, store, secret, page, ...(onStream && { onEvent: onStream }) })
  // What was delivered is claimed by one process of all that share the store.
  channels.vouchers?.runner({ facilitator }).start()
  const routes = new Map<string, StreamRoute>()
  const rate = rateText(options.rate, 'second')
  const routeAt = (base: string): StreamRoute => {
    const known = routes.get(base)
    if (known !== undefined) return known
    const [oldest] = routes.keys()
    if (routes.size >= mostRoutes && oldest !== undefined) routes.delete(oldest)
    const route = streams.route({ rate, clock, window, tickUrl: `${base}${tickPath}` })
    routes.set(base, route)
    return route
  }
  // What is wrong with a price is said at start.
  routeAt('')
  const headers = Object.fromEntries(friendlyHeaders(seller, { price: options.rate, unit: 'second' }))
  return async (request, response, next) => {
    const route = routeAt(request.baseUrl)
    if (request.path === tickPath) return ticks(route)(request, response, next)
    const file = sentFile(response)
    const meterOf = (head: AnswerHead) =>
      meterIn(head, { options, file }).catch((error: unknown) => {
        onStream?.({ type: 'error', error })
        throw error
      })
    return gated(route, () => ({ meterOf, headers, ...(clock === 'media' ? { pace: 'real' } : {}) }))(request, response, next)
  }
}

/** What `sendFile` was asked for, once it was. */
function sentFile(response: Response): () => string | undefined {
  const { sendFile } = response
  let path: string | undefined
  response.sendFile = (...given: [string, ...unknown[]]) => {
    const [name, options] = given
    const root = typeof options === 'object' && options !== null && 'root' in options ? options.root : undefined
    path = typeof root === 'string' ? join(root, name) : name
    return Reflect.apply(sendFile, response, given)
  }
  return () => path
}

type Measured = { readonly options: RateOptions; readonly file: () => string | undefined }

async function meterIn(head: AnswerHead, measured: Measured): Promise<ByteMeter> {
  return measured.options.clock === 'wall' ? wallMeter : byteMeter('second', await recordingOf(head, measured))
}

/** How long the bytes of this answer are: as it was told, or by the file that it is of. */
async function recordingOf(head: AnswerHead, { options: { bitrate, duration }, file }: Measured): Promise<Recording> {
  if (bitrate !== undefined) return { size: BigInt(Math.floor(bitrate)), length: 8n * oneUnit }
  const path = file()
  if (duration === undefined) {
    if (path === undefined) throw streamErrors('flow/no-clock', {})
    return mediaOf(path)
  }
  const [, whole = head.header('content-length')] = /\/(\d+)$/.exec(head.header('content-range') ?? '') ?? []
  const length = readUnits(String(duration))
  if (length === undefined || whole === undefined) throw streamErrors('flow/no-clock', {})
  return { size: BigInt(whole), length }
}
