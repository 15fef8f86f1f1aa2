import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { percentile } from '../report/figure.ts'

/**
 * What a load is: one fixed request, sent so often over all connections together, one at a time on each. Where there are `payments`, which
 * are headers, or `posts`, which are bodies in JSON, each connection sends its own, one after the other.
 */
export type Load = {
  readonly requests: number
  readonly status: number
  readonly payments?: readonly (readonly string[])[]
  readonly posts?: readonly (readonly string[])[]
}

/** What came of a load; latencies in milliseconds. */
export type LoadResult = { readonly perSecond: number; readonly p50: number; readonly p99: number }

/** Connections to one URL that are kept. `send` rejects when an answer has another status than expected. */
export type Lines = { send(load: Load): Promise<LoadResult>; end(): void }

/** One load over connections of its own. */
export async function hammer({
  url,
  connections,
  ...load
}: Load & { readonly url: string; readonly connections: number }): Promise<LoadResult> {
  const lines = await connectTo(url, connections)
  try {
    return await lines.send(load)
  } finally {
    lines.end()
  }
}

/** Connects over bare sockets, so that the load costs less than what it loads. */
export async function connectTo(url: string, connections: number): Promise<Lines> {
  const { hostname, port, pathname, host } = new URL(url)
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect(Number(port), hostname).setNoDelay(true)
      await once(socket, 'connect')
      return { socket, answers: answersOf(socket) }
    }),
  )
  return {
    async send({ requests, status, payments, posts }) {
      const head = `${posts === undefined ? 'GET' : 'POST'} ${pathname} HTTP/1.1\r\nhost: ${host}\r\naccept: application/json\r\n`
      const bytes = (own: string | undefined): string => {
        if (own === undefined) return `${head}\r\n`
        if (posts === undefined) return `${head}payment-signature: ${own}\r\n\r\n`
        return `${head}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(own)}\r\n\r\n${own}`
      }
      const latencies: number[] = []
      let left = requests
      const one = ({ socket, answers }: (typeof sockets)[number], connection: number) =>
        new Promise<void>((resolve, reject) => {
          let sent = 0
          const purse = (payments ?? posts)?.[connection]?.values()
          const next = () => {
            const own = purse?.next().value
            if (left === 0 || (purse !== undefined && own === undefined)) return resolve()
            left -= 1
            sent = performance.now()
            socket.write(bytes(own))
          }
          answers.failed = reject
          answers.came = (given) => {
            latencies.push(performance.now() - sent)
            if (given === status) next()
            else reject(new Error(`${url} answered ${given} instead of ${status}`))
          }
          next()
        })
      const began = performance.now()
      const work = Promise.all(sockets.map(one))
      // One at a time it is asked how long an answer takes: a load that never sleeps would hold a core that the server's other threads want.
      await (sockets.length === 1 ? work : awake(work))
      const seconds = (performance.now() - began) / 1000
      return { perSecond: requests / seconds, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) }
    },
    end() {
      for (const { socket } of sockets) socket.destroy()
    },
  }
}

/**
 * Keeps this process from sleeping while it waits for `work`. Waking one costs who writes to it as much as ten of its own answers on
 * virtual machines, which is no work of the server that is measured.
 */
export async function awake<Value>(work: Promise<Value>): Promise<Value> {
  let isOver = false
  const stay = () => void (isOver || setImmediate(stay))
  stay()
  try {
    return await work
  } finally {
    isOver = true
  }
}

type Answers = { came: (status: number) => void; failed: (cause: Error) => void }

/** Tells of each whole answer, and of a connection that is lost, to whoever asks now. */
function answersOf(socket: Socket): Answers {
  const answers: Answers = { came: () => {}, failed: () => {} }
  let text = ''
  socket
    .setEncoding('latin1')
    .on('data', (chunk: string) => {
      text += chunk
      const head = text.indexOf('\r\n\r\n')
      if (head < 0 || !isWhole(text, head + 4)) return
      const status = Number(text.slice(9, 12))
      text = ''
      answers.came(status)
    })
    .on('error', (cause) => answers.failed(cause))
    .on('close', () => answers.failed(new Error('The connection was closed.')))
  return answers
}

function isWhole(text: string, body: number): boolean {
  const length = /\r\ncontent-length: ?(\d+)/i.exec(text.slice(0, body))?.[1]
  return length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= body + Number(length)
}
