import { costOf, laneHeader, type Units } from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import { readAll } from './lines.ts'
import { createMeter, isRest, partIn, recordingIn, restHeaders, sizeIn } from './meter.ts'
import { type PayStreamOptions, planOf } from './pay-stream.ts'
import { slidingTill, type Till } from './till.ts'
import { closeLane, sidIn } from './words.ts'

/** What is downloaded: as a stream, but in parts, each as long as its money. */
export type PayDownloadOptions = Pick<
  PayStreamOptions,
  'wallet' | 'url' | 'init' | 'window' | 'budget' | 'leastBytes' | 'signal' | 'now' | 'sleep'
>

/** A file that is paid part by part, as it is read. What is read less is paid less. */
export interface PaidDownload extends AsyncIterable<Uint8Array> {
  /** Its bytes in all. */
  readonly size: bigint
  readonly type: string
}

// What is asked for again and again without a byte is not to be had.
const mostEmpty = 3

/**
 * Opens a file that is sold by its bytes or its seconds and pays for it part by part: each answer is as short as what was paid (206), and
 * the next part is paid when that has come. The bytes are those of one version of the file, in order and whole, or an error.
 *
 * Errors: `stream/short`, and those of `payStream`.
 */
export async function payDownload(options: PayDownloadOptions): Promise<PaidDownload> {
  const { wallet, url, init = {}, leastBytes, signal, now = () => performance.now() } = options
  const { sleep = (ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)) } = options
  const headers = new Headers(init.headers)
  headers.set('Range', 'bytes=0-')
  const given = { ...init, headers, ...(signal === undefined ? {} : { signal }) }
  const { plan, window } = planOf(options)
  const opened = await wallet.open(url, given, { window })
  const { response, terms, lane } = opened
  const first = partIn(response)
  if (!response.ok || (response.status === 206 && first?.from !== 0n)) {
    await response.body?.cancel()
    await lane?.close(0n)
    throw readerErrors('stream/not-open', { url: opened.url, status: response.status, why: 'it gave no part of a file' })
  }
  const size = sizeIn(response) ?? 0n
  const sid = sidIn(response)
  const bearer = response.headers.get(laneHeader.name)
  const meter = terms && createMeter(terms, { now, size, leastBytes, recording: recordingIn(response, { leastBytes }) })
  const paid = terms && plan(opened)
  const tickUrl = new URL(terms?.tickUrl ?? '/', opened.url).href
  const till: Till | undefined =
    lane && paid && sid !== undefined ? slidingTill(lane, { ...paid, wallet, url: opened.url, sid, tickUrl, now, sleep }) : undefined
  const received = (): Units => meter?.units(till?.signed() ?? 0n) ?? 0n

  async function* read(): AsyncGenerator<Uint8Array> {
    let [at, empty] = [0n, 0]
    let part: Response | undefined = response
    try {
      for (;;) {
        const before = at
        for await (const bytes of part?.body ? readAll(part.body) : []) {
          at += BigInt(bytes.length)
          meter?.received(bytes.length)
          yield bytes
        }
        if (at >= size) break
        empty = at === before ? empty + 1 : 0
        if (empty > mostEmpty || response.status === 200) throw shortOf(at)
        // A part that ends before the file has used what was paid for it.
        if (till !== undefined && at > before) meter?.said(till.signed())
        await till?.advance(received())
        const trouble = till?.trouble()
        if (trouble !== undefined) throw trouble
        if (till?.isDone() === true && empty > 0) throw shortOf(at)
        part = await next(at)
      }
    } finally {
      if (till !== undefined && sid !== undefined && meter !== undefined && terms !== undefined) {
        const most = () => costOf(terms.rate, meter.most(till.signed()))
        await closeLane({ wallet, url: opened.url, tickUrl, sid }, till, { counted: () => costOf(terms.rate, received()), most })
      }
    }
  }

  async function next(at: bigint): Promise<Response | undefined> {
    const asking = new Headers(init.headers)
    for (const [name, value] of Object.entries(restHeaders(response, at))) asking.set(name, value)
    if (bearer !== null && till !== undefined) asking.set(laneHeader.name, bearer)
    const ask = till === undefined ? wallet.fetch : wallet.send
    const answer = await ask(opened.url, { ...given, headers: asking })
    if (answer.status === 402) {
      await answer.body?.cancel()
      return undefined
    }
    if (!isRest(answer, { at, size })) {
      await answer.body?.cancel()
      throw readerErrors('stream/not-open', { url: opened.url, status: answer.status, why: 'it is another file by now' })
    }
    return answer
  }

  const shortOf = (at: bigint) => readerErrors('stream/short', { url: opened.url, received: at, expected: `${size}` })

  return { size, type: response.headers.get('Content-Type') ?? '', [Symbol.asyncIterator]: read }
}
