import type { ServerResponse } from 'node:http'
import { pieces, type Tap } from './tap.ts'

/** What becomes of a tapped response: it left whole, its reader is gone, or its tap stayed shut and the connection was reset. */
export type TappedEnd = 'whole' | 'gone' | 'cut'

type Write = { readonly bytes: Uint8Array; readonly done: (() => void) | undefined }

/**
 * Puts a tap on what a handler writes, whatever it writes with: `sendFile`, a pipe, `write`. Each piece leaves when it is paid, and a
 * writer that waits for `drain` is asked for no more than that. The tap is made with the first byte, when the head says what it is of;
 * nothing makes one for errors and answers without a body, which cost nothing. `end` is told once.
 */
export function tapResponse(
  response: ServerResponse,
  { tapOf, end }: { readonly tapOf: () => Promise<Tap>; readonly end: (how: TappedEnd) => void },
): void {
  // Those of the response itself, as the last middleware left them.
  const own = { write: response.write, end: response.end, emit: response.emit }
  const queue: Write[] = []
  let tap: Promise<Tap> | undefined
  let isPumping = false
  let ended: { readonly done: (() => void) | undefined } | undefined
  let isOver = false

  const over = (how: TappedEnd): void => {
    if (isOver) return
    isOver = true
    end(how)
  }
  const flushed = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      const go = () => {
        response.off('close', go)
        resolve()
      }
      // What its reader has not taken is not followed by more.
      if (Reflect.apply(own.write, response, [bytes, go])) resolve()
      else response.once('close', go)
    })
  const release = async ({ bytes, done }: Write): Promise<boolean> => {
    const opened = await tap
    for (const piece of pieces(bytes, opened?.most ?? bytes.length)) {
      if (response.destroyed || (opened !== undefined && !(await opened.open(piece))) || response.destroyed) return false
      await flushed(piece)
      opened?.left()
    }
    done?.()
    return true
  }
  const cut = (): void => {
    over(response.destroyed ? 'gone' : 'cut')
    response.destroy()
  }
  const pump = async (): Promise<void> => {
    if (isPumping) return
    isPumping = true
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) if (!(await release(next))) return cut()
    } catch {
      // Whoever makes the tap says what went wrong; what cannot be paid for does not leave.
      return cut()
    } finally {
      isPumping = false
    }
    if (ended !== undefined) Reflect.apply(own.end, response, [ended.done])
    else Reflect.apply(own.emit, response, ['drain'])
  }
  const take = (chunk: unknown, rest: readonly unknown[]): void => {
    const isFree = response.statusCode >= 400 || response.req.method === 'HEAD'
    if (!isFree) tap ??= tapOf()
    queue.push({ bytes: bytesOf(chunk, rest[0]), done: callbackIn(rest) })
  }

  Object.assign(response, {
    write(chunk: unknown, ...rest: unknown[]) {
      if (!response.headersSent) response.writeHead(response.statusCode)
      take(chunk, rest)
      void pump()
      return false
    },
    end(...given: unknown[]) {
      const [chunk, encoding] = given.filter((one) => typeof one !== 'function')
      if (chunk === undefined || chunk === null) {
        // Nothing was written, and nothing is: its head says all.
        if (queue.length === 0 && !isPumping) return Reflect.apply(own.end, response, given)
      } else {
        if (!response.headersSent && !response.hasHeader('content-length'))
          response.setHeader('Content-Length', bytesOf(chunk, encoding).length)
        take(chunk, [encoding])
      }
      ended = { done: callbackIn(given) }
      void pump()
      return response
    },
    // Its own `drain` says that the socket has taken a piece; those who write hear when more may be paid.
    emit: (event: string | symbol, ...rest: unknown[]) => event !== 'drain' && Reflect.apply(own.emit, response, [event, ...rest]),
  })
  response.once('finish', () => over('whole')).once('close', () => over('gone'))
}

function bytesOf(chunk: unknown, encoding: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  return Buffer.from(String(chunk), typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8')
}

function callbackIn(given: readonly unknown[]): (() => void) | undefined {
  const found = given.find((one) => typeof one === 'function')
  return found === undefined ? undefined : () => found()
}
