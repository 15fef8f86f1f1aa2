import type { StreamChunk } from '@flow402x/stream/client'
import { codecsOf } from './codecs.ts'
import type { Screen } from './screen.ts'
import type { Sink } from './sink.ts'

// Of what was played, so many seconds can be gone back to once the browser's own room is used up.
const keptBehind = 30
// Further than this nothing is put before what plays: what comes later is not paid for yet either.
const mostAhead = 20
// The head of a recording that can be played in pieces is shorter.
const longestHead = 1_048_576

type Media = typeof MediaSource

/** A film that plays from the bytes that were paid, as they come; one that browsers play only as a whole plays when it is whole. */
export function createVideo(type: string, { video, show, say }: Screen): Sink {
  show('video')
  const parts: Uint8Array<ArrayBuffer>[] = []
  let [size, buffer]: [number, Promise<SourceBuffer | undefined> | undefined] = [0, undefined]
  // Safari on phones has this one alone (iOS 17.1).
  const Source: Media | undefined = Reflect.get(globalThis, 'MediaSource') ?? Reflect.get(globalThis, 'ManagedMediaSource')
  const source = Source === undefined ? undefined : new Source()
  if (source !== undefined) {
    video.disableRemotePlayback = true
    video.src = URL.createObjectURL(source)
  }

  /** Decides how it is played, once its head says what it is. */
  function begin(): Promise<SourceBuffer | undefined> | undefined {
    const codecs = /codecs=/i.test(type) ? type : codecsOf(type, joined(parts))
    if (codecs === undefined && size < longestHead) return undefined
    if (codecs === undefined || source === undefined || Source?.isTypeSupported(codecs) !== true) {
      say('Browsers play this recording only as a whole: it begins when all of it has come.')
      return Promise.resolve(undefined)
    }
    return opened(source).then(() => source.addSourceBuffer(codecs))
  }

  async function append(to: SourceBuffer, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // Who goes far ahead waits: what is not played is not asked for, and not paid.
    while (!video.error && aheadOf(video) > mostAhead) await once(video, 'timeupdate')
    try {
      to.appendBuffer(bytes)
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'QuotaExceededError') throw error
      to.remove(0, Math.max(video.currentTime - keptBehind, 0.1))
      await once(to, 'updateend')
      to.appendBuffer(bytes)
    }
    await once(to, 'updateend')
  }

  return {
    async write(chunk: StreamChunk) {
      if (!(chunk instanceof Uint8Array)) return
      const bytes = new Uint8Array(chunk)
      size += bytes.length
      const wasOpen = buffer !== undefined
      if (!wasOpen) {
        parts.push(bytes)
        buffer = begin()
      }
      const to = await buffer
      if (to === undefined) {
        if (wasOpen) parts.push(bytes)
        return
      }
      await append(to, wasOpen ? bytes : joined(parts))
      if (!wasOpen) void video.play().catch(() => say('Press play on the film to start it.'))
    },
    hold(isHeld) {
      if (isHeld) video.pause()
      else void video.play().catch(() => {})
    },
    end(isWhole) {
      void buffer?.then((to) => {
        // Nothing more is waited for, whole or not.
        if (to !== undefined && source?.readyState === 'open') source.endOfStream()
        if (to !== undefined || !isWhole) return
        video.src = URL.createObjectURL(new Blob(parts, { type }))
        void video.play().catch(() => {})
      })
    },
    received: () => BigInt(size),
  }
}

/** How many seconds lie ready beyond what plays. */
function aheadOf({ buffered, currentTime }: HTMLVideoElement): number {
  return buffered.length === 0 ? 0 : buffered.end(buffered.length - 1) - currentTime
}

async function opened(source: MediaSource): Promise<void> {
  if (source.readyState !== 'open') await once(source, 'sourceopen')
}

function once(target: EventTarget, name: string): Promise<void> {
  return new Promise((resolve) => target.addEventListener(name, () => resolve(), { once: true }))
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
