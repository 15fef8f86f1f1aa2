import { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Mp4OutputFormat, Output, WebMOutputFormat } from 'mediabunny'
import { describe, expect, it } from 'vitest'
import { codecsOf } from './codecs.ts'

const avcConfig = Uint8Array.from([1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80])

async function recording(format: Mp4OutputFormat | WebMOutputFormat, codec: 'avc' | 'vp9'): Promise<Uint8Array> {
  const output = new Output({ format, target: new BufferTarget() })
  const source = new EncodedVideoPacketSource(codec)
  output.addVideoTrack(source, { frameRate: 10 })
  await output.start()
  const description = codec === 'avc' ? { codec: 'avc1.42c01e', description: avcConfig } : { codec: 'vp09.00.10.08' }
  for (let frame = 0; frame < 30; frame += 1) {
    const packet = new EncodedPacket(new Uint8Array(400).fill(7), 'key', frame / 10, 1 / 10)
    await source.add(packet, { decoderConfig: { ...description, codedWidth: 64, codedHeight: 64 } })
  }
  await output.finalize()
  return new Uint8Array(output.target.buffer ?? new ArrayBuffer(0))
}

const fragments = () => new Mp4OutputFormat({ fastStart: 'fragmented' })

describe('the codecs of a recording', () => {
  it('stand in the head of an MP4 in fragments, once all of the head is there', async () => {
    const film = await recording(fragments(), 'avc')
    expect(codecsOf('video/mp4', film)).toBe('video/mp4; codecs="avc1.42c01e"')
    expect(codecsOf('video/mp4', await recording(fragments(), 'vp9'))).toBe('video/mp4; codecs="vp09.00.10.08"')
    const lengths = Array.from({ length: 1200 }, (_, length) => length)
    const first = lengths.find((length) => codecsOf('video/mp4', film.subarray(0, length)) !== undefined) ?? 0
    // From the end of its head on, and never before.
    expect(first).toBeGreaterThan(400)
    expect(lengths.slice(first).every((length) => codecsOf('video/mp4', film.subarray(0, length)) !== undefined)).toBe(true)
  })

  it('stand in the head of a WebM', async () => {
    expect(codecsOf('video/webm', await recording(new WebMOutputFormat(), 'vp9'))).toBe('video/webm; codecs="vp9"')
  })

  it('are not told of what plays as a whole alone, or is no recording', async () => {
    expect(codecsOf('video/mp4', await recording(new Mp4OutputFormat({ fastStart: 'in-memory' }), 'avc'))).toBeUndefined()
    for (const bytes of [new Uint8Array(), new Uint8Array(64), crypto.getRandomValues(new Uint8Array(4096))])
      for (const type of ['video/mp4', 'video/webm', '']) expect(codecsOf(type, bytes)).toBeUndefined()
  })
})
