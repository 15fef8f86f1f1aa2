import { type ControlEvent, controlEventName, readControlEvent, readControlLine } from '@flow402x/core/stream'

/** One event of SSE. */
export type SseChunk = { readonly event: string; readonly data: string; readonly id: string }

/**
 * What came out of a body: a chunk of the application, a word of the stream's server, a comment, or a ping, which only shows that the
 * connection is alive: it stands for nothing that came.
 */
export type Item<Chunk> =
  | { readonly chunk: Chunk; readonly bytes: number }
  | { readonly control: ControlEvent }
  | { readonly alive: 'comment' | 'ping' }

// A line that never ends would fill memory.
const longestLine = 8_388_608

/** The events of an SSE body; those of the stream itself are told apart by their name. */
export async function* sseItems(body: ReadableStream<Uint8Array>): AsyncGenerator<Item<SseChunk>> {
  let [event, data, id, bytes]: [string, string[], string, number] = ['', [], '', 0]
  for await (const { line, length } of linesOf(body)) {
    bytes += length
    if (line === '') {
      const control = event === controlEventName ? readControlEvent(data.join('\n')) : undefined
      if (control !== undefined) yield { control }
      else if (data.length > 0 && event !== controlEventName)
        yield { chunk: { event: event || 'message', data: data.join('\n'), id }, bytes }
      ;[event, data, bytes] = ['', [], 0]
    } else if (line.startsWith(':')) yield { alive: line === ':' ? 'ping' : 'comment' }
    else {
      const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (field === 'event') event = value
      else if (field === 'data') data.push(value)
      else if (field === 'id' && !value.includes('\0')) id = value
    }
  }
}

/** The lines of an ndjson body, as text; empty ones are pings. */
export async function* ndjsonItems(body: ReadableStream<Uint8Array>): AsyncGenerator<Item<string>> {
  for await (const { line, length } of linesOf(body)) {
    const control = readControlLine(line)
    if (control !== undefined) yield { control }
    else if (line.trim() === '') yield { alive: line === '' ? 'ping' : 'comment' }
    else yield { chunk: line, bytes: length }
  }
}

/** The bytes of any other body, in which nothing is said. */
export async function* byteItems(body: ReadableStream<Uint8Array>): AsyncGenerator<Item<Uint8Array>> {
  for await (const chunk of readAll(body)) yield { chunk, bytes: chunk.length }
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<{ readonly line: string; readonly length: number }> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of readAll(body)) {
    rest += decoder.decode(chunk, { stream: true })
    // A carriage return may be the half of a line's end.
    const whole = rest.endsWith('\r') ? rest.slice(0, -1) : rest
    const lines = whole.split(/\r\n|\n|\r/)
    rest = `${lines.pop() ?? ''}${rest.slice(whole.length)}`
    for (const line of lines) yield { line, length: line.length + 1 }
    if (rest.length > longestLine) return
  }
  // Of SSE what has no empty line after it was not whole, and a line without an end is one of ndjson.
  if (rest !== '') yield { line: rest, length: rest.length }
}

/** The chunks of a body: not every browser can iterate over one. */
export async function* readAll(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
