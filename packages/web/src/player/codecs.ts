/**
 * The type of a recording with its codecs, as a `SourceBuffer` is asked for: read from the head of an MP4 or WebM whose parts can be played
 * one by one. Nothing where that does not stand there, or not yet.
 */
export function codecsOf(type: string, head: Uint8Array): string | undefined {
  const container = type.split(';')[0]?.trim().toLowerCase() ?? ''
  const names = /webm/.test(container) ? webmCodecs(head) : mp4Codecs(head)
  return names === undefined || names.length === 0 ? undefined : `${container}; codecs="${names.join(', ')}"`
}

function webmCodecs(head: Uint8Array): readonly string[] | undefined {
  const words = latin(head)
  // A cluster begins once all tracks are said.
  if (!words.includes('\x1f\x43\xb6\x75')) return undefined
  const known = { V_VP8: 'vp8', V_VP9: 'vp9', V_AV1: 'av01.0.04M.08', A_OPUS: 'opus', A_VORBIS: 'vorbis' }
  return Object.entries(known).flatMap(([name, codec]) => (words.includes(name) ? [codec] : []))
}

/** The codecs of an MP4 in fragments (ISO 14496-12): one without `mvex` is one whole. */
function mp4Codecs(head: Uint8Array): readonly string[] | undefined {
  const words = latin(boxOf(head, 'moov') ?? new Uint8Array())
  if (!words.includes('mvex')) return undefined
  const hex = (at: number, count: number) =>
    [...words.slice(at, at + count)].map((sign) => sign.charCodeAt(0).toString(16).padStart(2, '0')).join('')
  const two = (at: number) => `${words.charCodeAt(at)}`.padStart(2, '0')
  const avc = words.indexOf('avcC')
  const vpc = words.indexOf('vpcC')
  return [
    ...(avc < 0 ? [] : [`avc1.${hex(avc + 5, 3)}`]),
    ...(vpc < 0 ? [] : [`vp09.${two(vpc + 8)}.${two(vpc + 9)}.${`${words.charCodeAt(vpc + 10) >> 4}`.padStart(2, '0')}`]),
    ...(words.includes('mp4a') ? ['mp4a.40.2'] : []),
    ...(words.includes('Opus') ? ['opus'] : []),
  ]
}

function boxOf(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at)
    // Zero and one are long forms, which no head has.
    if (size < 8) return undefined
    if (latin(bytes.subarray(at + 4, at + 8)) === name) return at + size <= bytes.length ? bytes.subarray(at, at + size) : undefined
    at += size
  }
  return undefined
}

/** Bytes as signs of the same numbers. */
function latin(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return text
}
