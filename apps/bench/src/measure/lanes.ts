import { connect, type Socket } from 'node:net'
import { type PaymentRequired, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { declareStream, decodeServerFrame, encodeClientFrame, paymentStreamHeader, readStreamTerms, streamKey } from '@flow402x/core/stream'
import type { EvmChain } from '@flow402x/testing'
import { WebSocket } from 'ws'
import { openPurse, type Purse } from '../houses/purse.ts'

/** A stream of a seller, and payers who open lanes of it: each a channel of his own, and every lane of grade B. */
export type Lanes = {
  newPayer(): Promise<Payer>
  /** Pays `by` and reads over a bare socket, which costs less than what it reads. */
  read(payer: Payer, by: bigint): Promise<Reading>
  /** Opens a socket that is a lane, and ticks it. */
  socket(payer: Payer, by: bigint): Promise<Ticking>
}

/** A payer with one channel; each payment of his is for one atomic unit more than the last, or `by` so many. */
export type Payer = { readonly purse: Purse; next(by?: bigint): bigint }

/** A lane that is read. */
export type Reading = {
  readonly sid: string
  /** Milliseconds from the request to the first byte of content. */
  readonly first: number
  /** When the next piece of content came, by the clock of this process. */
  more(): Promise<number>
  end(): void
}

/** A lane that is a socket. */
export type Ticking = { tick(frame: Uint8Array): Promise<void>; frame(): Promise<Uint8Array>; end(): void }

/** The lanes of the stream at `url`, with channels from this salt on that hold so much. */
export async function lanesOf(
  chain: EvmChain,
  { url, salt, holds }: { readonly url: string; readonly salt: bigint; readonly holds: bigint },
): Promise<Lanes> {
  const asked = await fetch(url)
  const said = await asked.text()
  if (asked.status !== 402) throw new Error(`${url} answered ${asked.status}: ${said}`)
  const required = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '')
  const [accepted] = required.accepts
  if (accepted === undefined) throw new Error(`${url} asks for nothing.`)
  const { hostname, port, pathname, host } = new URL(url)
  const extensions = sliding(required)
  let salts = salt
  const opening = async ({ purse, next }: Payer, by: bigint): Promise<string> =>
    paymentSignatureHeader.encode({ ...(await purse.pay(next(by))), extensions })
  return {
    async newPayer() {
      salts += 1n
      const purse = await openPurse(chain, { accepted, salt: salts, holds })
      let max = 0n
      return {
        purse,
        next(by = 1n) {
          max += by
          return max
        },
      }
    },
    async read(payer, by) {
      const payment = await opening(payer, by)
      const socket = connect(Number(port), hostname).setNoDelay(true)
      const sent = performance.now()
      socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\npayment-signature: ${payment}\r\n\r\n`)
      return readLane(socket, sent)
    },
    async socket(payer, by) {
      const headers = { 'PAYMENT-SIGNATURE': await opening(payer, by) }
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'flow402x.v1', { headers })
      const sid = await new Promise<string>((resolve, reject) => {
        socket.once('upgrade', ({ headers: said }) => resolve(paymentStreamHeader.decode(String(said['payment-stream'])).sid ?? ''))
        socket.once('error', reject)
      })
      if (socket.readyState !== WebSocket.OPEN) await new Promise((resolve) => socket.once('open', resolve))
      let [acked, failed] = [(): void => {}, (_: Error): void => {}]
      socket.on('message', (data: Buffer) => {
        const frame = decodeServerFrame(data)
        if (frame?.type === 'ack') acked()
        else if (frame?.type === 'error') failed(new Error(`A tick was answered ${frame.error}.`))
      })
      return {
        async frame() {
          const max = payer.next()
          const { signature } = await payer.purse.sign(max)
          return encodeClientFrame({ type: 'tick', family: 'evm', sid, max, signature: Buffer.from(signature.slice(2), 'hex') })
        },
        tick: (frame) =>
          new Promise((resolve, reject) => {
            acked = resolve
            failed = reject
            socket.send(frame)
          }),
        end: () => socket.terminate(),
      }
    },
  }
}

/** A stream of events that nobody is paid for: what a connection alone costs. */
export function readPlain(url: string): Promise<{ end(): void }> {
  const { hostname, port, pathname, host } = new URL(url)
  const socket = connect(Number(port), hostname).setNoDelay(true)
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  return new Promise((resolve, reject) => socket.once('error', reject).once('data', () => resolve({ end: () => socket.destroy() })))
}

/** A tick as it is posted. */
export async function postOf({ purse, next }: Payer, sid: string, by = 1n): Promise<string> {
  return JSON.stringify({ sid, voucher: await purse.sign(next(by)) })
}

/** Reads until the head and, where content comes at once, its first piece are there. */
async function readLane(socket: Socket, sent: number): Promise<Reading> {
  let text = ''
  let first = 0
  let wake: ((at: number) => void) | undefined
  const opened = new Promise<string>((resolve, reject) => {
    socket.once('error', reject).on('data', (chunk: Buffer) => {
      const at = performance.now()
      if (first > 0) return wake?.(at)
      text += chunk.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head < 0) return
      if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(`A lane was answered: ${text.slice(0, 200)}`))
      first = at - sent
      resolve(/\r\npayment-stream: ?(.*)\r\n/i.exec(text)?.[1] ?? '')
    })
  })
  const { sid = '' } = paymentStreamHeader.decode(await opened)
  return {
    sid,
    first,
    more: () =>
      new Promise((resolve) => {
        wake = resolve
      }),
    end: () => socket.destroy(),
  }
}

function sliding({ extensions }: PaymentRequired): Record<string, unknown> {
  const terms = readStreamTerms(extensions)
  if (terms === undefined) throw new Error('It offers no stream.')
  return { [streamKey]: { info: { ...declareStream(terms).info, grade: 'B' } } }
}
