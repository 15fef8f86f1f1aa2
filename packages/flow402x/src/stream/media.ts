import { stat } from 'node:fs/promises'
import { streamErrors } from './errors.ts'

/** A recording as its meter needs it: how many bytes it has, and how many billionths of a second they last. */
export type Media = { readonly size: bigint; readonly length: bigint }

const known = new Map<string, { readonly changed: number; readonly media: Media }>()
const mostKnown = 1024

/**
 * How long the recording in a file is, by the samples that it holds: MP4, QuickTime, WebM, Matroska, MP3, WAVE, Ogg, FLAC, ADTS, MPEG-TS. A
 * file that changed is read anew.
 *
 * Errors: `stream/unread-file` for one that is no such recording, or is not there.
 */
export async function mediaOf(path: string): Promise<Media> {
  const { size, mtimeMs: changed } = await stat(path, { bigint: false }).catch((cause: unknown) => {
    throw streamErrors('stream/unread-file', { path, cause })
  })
  const before = known.get(path)
  if (before?.changed === changed && before.media.size === BigInt(size)) return before.media
  const media = { size: BigInt(size), length: await lengthOf(path) }
  const [oldest] = known.keys()
  if (known.size >= mostKnown && oldest !== undefined) known.delete(oldest)
  known.set(path, { changed, media })
  return media
}

async function lengthOf(path: string): Promise<bigint> {
  // Who sells no recordings loads no parser of them.
  const { ALL_FORMATS, FilePathSource, Input } = await import('mediabunny')
  const input = new Input({ formats: ALL_FORMATS, source: new FilePathSource(path) })
  try {
    const seconds = await input.computeDuration()
    if (seconds > 0 && Number.isFinite(seconds)) return BigInt(Math.ceil(seconds * 1e9))
    throw streamErrors('stream/unread-file', { path })
  } catch (cause) {
    throw streamErrors('stream/unread-file', { path, cause })
  } finally {
    input.dispose()
  }
}
