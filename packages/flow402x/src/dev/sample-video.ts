/** How long the video is, and how large. */
export type SampleVideo = { readonly seconds: number; readonly framesPerSecond?: number }

// Macroblocks of 16 × 16 pixels.
const [columns, rows] = [10, 6]
const [width, height] = [columns * 16, rows * 16]

/**
 * A film without a camera: H.264 whose frames are written out pixel by pixel (I_PCM), so that it plays anywhere and nobody has to encode
 * it, and in fragments, so that it plays as it comes. A coin goes over the sea from morning to night, about 140 kB a second.
 */
export async function sampleVideo({ seconds, framesPerSecond = 6 }: SampleVideo): Promise<Uint8Array> {
  const { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Mp4OutputFormat, Output } = await import('mediabunny')
  const output = new Output({
    format: new Mp4OutputFormat({ fastStart: 'fragmented', minimumFragmentDuration: 0.5 }),
    target: new BufferTarget(),
  })
  const source = new EncodedVideoPacketSource('avc')
  output.addVideoTrack(source, { frameRate: framesPerSecond })
  await output.start()
  const decoderConfig = { codec: 'avc1.42c01e', codedWidth: width, codedHeight: height, description: decoderRecord() }
  for (let frame = 0; frame < seconds * framesPerSecond; frame += 1) {
    const packet = new EncodedPacket(
      sized(picture(frame, frame / (seconds * framesPerSecond))),
      'key',
      frame / framesPerSecond,
      1 / framesPerSecond,
    )
    await source.add(packet, { decoderConfig })
  }
  await output.finalize()
  return new Uint8Array(output.target.buffer ?? new ArrayBuffer(0))
}

/** One picture that needs no other (H.264 §7.3.3, §7.3.5), at a part of the day (0 to 1). */
function picture(frame: number, day: number): Uint8Array {
  const head = bitsOf([
    ...unsigned(0, 7, 0),
    bits(0, 4),
    ...unsigned(frame % 2),
    bits(0, 2),
    ...unsigned(0),
    // No filter smooths the edges between blocks.
    ...unsigned(1),
  ])
  const bytes: number[] = []
  const colours: Colour[] = []
  let pending = head
  for (let block = 0; block < columns * rows; block += 1) {
    bytes.push(...packed(`${pending}${unsigned(25).join('')}`))
    pending = ''
    const [left, top] = [(block % columns) * 16, Math.floor(block / columns) * 16]
    for (let at = 0; at < 256; at += 1) {
      const found = colour(left + (at % 16), top + (at >> 4), { frame, day })
      bytes.push(found[0])
      // Two by two pixels share what colour they have.
      if (at % 2 === 0 && (at >> 4) % 2 === 0) colours.push(found)
    }
    for (const plane of [1, 2] as const) for (const found of colours) bytes.push(found[plane])
    colours.length = 0
  }
  bytes.push(0x80)
  return unit(0x65, bytes)
}

type Moment = { readonly frame: number; readonly day: number }
type Colour = readonly [luma: number, blue: number, red: number]

const horizon = Math.round(height * 0.62)

/** What stands at a place: sky, sea with the coin's light on it, and the coin. */
function colour(x: number, y: number, { frame, day }: Moment): Colour {
  const light = Math.sin(Math.PI * day)
  const [coinX, coinY] = [day * (width + 24) - 12, horizon + 10 - light * (horizon - 16)]
  const away = Math.hypot(x - coinX, y - coinY)
  if (y < horizon && away < 9) return away > 7 ? [150, 70, 158] : [205, 60, 152]
  if (y < horizon) {
    const [height, glow] = [y / horizon, Math.max(0, 1 - away / 46)]
    return tone(52 + 78 * light + 34 * height + 52 * glow, 150 - 12 * height - 34 * glow, 112 + 14 * height + 22 * glow)
  }
  const [depth, wave] = [(y - horizon) / (height - horizon), Math.sin(x / 5 + frame / 3 + y * 1.7) * Math.sin(y / 2 - frame / 5)]
  const path = Math.max(0, 1 - Math.abs(x - coinX) / (7 + 22 * depth)) * (wave > 0.1 ? 1 : 0.35)
  return tone(40 + 52 * light - 16 * depth + 9 * wave + 70 * path, 146 - 40 * path, 108 + 26 * path)
}

function tone(luma: number, blue: number, red: number): Colour {
  return [shade(luma), shade(blue), shade(red)]
}

function shade(level: number): number {
  return Math.max(16, Math.min(235, Math.round(level)))
}

/** What decoders are told beforehand: the sequence and the picture parameters (H.264 §7.3.2; ISO 14496-15 §5.3.3). */
function decoderRecord(): Uint8Array {
  const sequence = unit(0x67, [
    0x42,
    0xc0,
    0x1e,
    ...packed(`${bitsOf([...unsigned(0, 0, 2, 1), bits(0, 1), ...unsigned(columns - 1, rows - 1), bits(0b1100, 4)])}1`),
  ])
  const pictures = unit(
    0x68,
    packed(`${bitsOf([...unsigned(0, 0), bits(0, 2), ...unsigned(0, 0, 0), bits(0, 3), ...unsigned(0, 0, 0), bits(0b100, 3)])}1`),
  )
  return Uint8Array.from([1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, sequence.length, ...sequence, 1, 0, pictures.length, ...pictures])
}

/** A unit of the stream; where its bytes would look like the start of another, a 3 stands between them (§7.4.1). */
function unit(head: number, payload: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(1 + Math.ceil(payload.length * 1.5))
  let [length, zeros] = [1, 0]
  bytes[0] = head
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      bytes[length++] = 3
      zeros = 0
    }
    bytes[length++] = byte
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return bytes.subarray(0, length)
}

function sized(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + 4)
  new DataView(whole.buffer).setUint32(0, bytes.length)
  whole.set(bytes, 4)
  return whole
}

/** Numbers as Exp-Golomb codes, in bits (§9.1). */
function unsigned(...values: readonly number[]): string[] {
  return values.map((value) => {
    const code = (value + 1).toString(2)
    return `${'0'.repeat(code.length - 1)}${code}`
  })
}

function bits(value: number, count: number): string {
  return value.toString(2).padStart(count, '0')
}

function bitsOf(codes: readonly string[]): string {
  return codes.join('')
}

/** Bits as bytes, the last one filled with zeros. */
function packed(text: string): number[] {
  return (text.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2))
}
