import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

/** What is sent: `body` in pieces, each written when the one before has left; `pause` ms between them. */
export type Sending = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: readonly Uint8Array[]
  readonly pause?: number
  readonly agent?: Agent
}

/** What arrived: every header value by its lower-case name, every byte, and the 1xx statuses before. */
export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: Buffer
  readonly interim: readonly number[]
}

/** An answer whose head is there and whose body is still coming. */
export type OpenAnswer = Omit<Answer, 'body'> & {
  /** The bytes so far. */
  arrived(): Buffer
  /** The bytes once there are at least `count`. */
  atLeast(count: number): Promise<Buffer>
  /** All bytes. */
  rest(): Promise<Buffer>
}

/** Sends one request over Node's own client, which hides nothing: no redirect, no decompression, no cache. */
export async function send(url: string, sending: Sending = {}): Promise<Answer> {
  const { rest, status, headers, interim } = await open(url, sending)
  return { status, headers, interim, body: await rest() }
}

/** As `send`, and gives the answer as soon as its head is there. */
export function open(url: string, sending: Sending = {}): Promise<OpenAnswer> {
  const { method = 'GET', headers = {}, agent = new Agent() } = sending
  const interim: number[] = []
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...headers }, agent })
    outgoing.on('information', ({ statusCode }) => interim.push(statusCode))
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => resolve(openAnswer(incoming, interim)))
    sendBody(outgoing, sending).catch(reject)
  })
}

async function sendBody(outgoing: ClientRequest, { body = [], pause = 0, headers = {} }: Sending): Promise<void> {
  if (headers.Expect === '100-continue') {
    outgoing.flushHeaders()
    await new Promise((resolve) => outgoing.once('continue', resolve))
  }
  for (const piece of body) {
    await new Promise((resolve) => outgoing.write(piece, resolve))
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
  }
  outgoing.end()
}

function openAnswer(incoming: IncomingMessage, interim: readonly number[]): OpenAnswer {
  const chunks: Buffer[] = []
  const bytes = () => Buffer.concat(chunks)
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<void>((resolve, reject) => incoming.on('end', resolve).on('error', reject))
  ended.catch(() => {})
  const atLeast = async (count: number): Promise<Buffer> => {
    while (bytes().length < count) await new Promise((resolve) => incoming.once('data', resolve))
    return bytes()
  }
  return {
    status: incoming.statusCode ?? 0,
    headers: Object.fromEntries(Object.entries(incoming.headersDistinct).map(([name, values]) => [name, values ?? []])),
    interim,
    arrived: bytes,
    atLeast,
    rest: () => ended.then(bytes),
  }
}
