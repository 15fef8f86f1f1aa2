import type { StreamChunk } from '@flow402x/stream/client'
import type { Screen } from './screen.ts'
import { createVideo } from './video.ts'

/** Where what was paid for is shown. */
export interface Sink {
  /** Takes a chunk; what is not shown yet holds up what comes next. */
  write(chunk: StreamChunk): Promise<void>
  /** Stands still, or goes on. */
  hold(isHeld: boolean): void
  /** Nothing more comes. */
  end(isWhole: boolean): void
  /** How many bytes came, of what has a size. */
  received(): bigint | undefined
}

/** A place for what this type of content is: a film plays, a text stands as it comes, anything else is kept to be saved. */
export function createSink(type: string, screen: Screen): Sink {
  if (/^(video|audio)\//i.test(type)) return createVideo(type, screen)
  return /^(text\/|application\/(x-)?(ndjson|jsonl|json-lines)\b)/i.test(type) ? createText(screen) : createFile(type, screen)
}

function createText({ text, show }: Screen): Sink {
  show('text')
  text.textContent = ''
  const decoder = new TextDecoder()
  return {
    async write(chunk) {
      const isAtEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 48
      text.append(typeof chunk === 'string' ? `${chunk}\n` : 'data' in chunk ? chunk.data : decoder.decode(chunk, { stream: true }))
      if (isAtEnd) text.scrollTop = text.scrollHeight
    },
    hold: () => {},
    end: () => {},
    received: () => undefined,
  }
}

function createFile(type: string, { file, show }: Screen): Sink {
  show('file')
  const parts: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  return {
    async write(chunk) {
      if (!(chunk instanceof Uint8Array)) return
      parts.push(new Uint8Array(chunk))
      size += chunk.length
      file.textContent = `${(size / 1000).toFixed(1)} kB came so far.`
    },
    hold: () => {},
    end(isWhole) {
      if (!isWhole) return
      const link = document.createElement('a')
      link.href = URL.createObjectURL(new Blob(parts, { type }))
      link.download = decodeURIComponent(location.pathname.split('/').at(-1) ?? '') || 'download'
      link.textContent = `Save ${link.download} (${(size / 1000).toFixed(1)} kB)`
      file.replaceChildren(link)
    },
    received: () => BigInt(size),
  }
}
