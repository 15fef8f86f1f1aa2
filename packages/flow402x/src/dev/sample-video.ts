/** How long the video is, and how large. */
export type SampleVideo = { readonly seconds: number; readonly framesPerSecond?: number }

// Macroblocks of 16 × 16 pixels.
const [columns, rows] = [6, 4]

/**
 * A film without a camera: H.264 whose frames are written out pixel by pixel (I_PCM), so that it plays anywhere and nobody has to encode
 * it, and in fragments, so that it plays as it comes. A bar moves over a ground that changes its colour every second, about 37 kB a second.
 */
export async function sampleVideo({ seconds, framesPerSecond = 4 }: SampleVideo): Promise<Uint8Array> {
  const { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Mp4OutputFormat, Output } = await import('mediabunny')
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'fragmented', minimumFragmentDuration: 0.5 }), target: new BufferTarget() })
  const source = new EncodedVideoPacketSource('avc')
  output.addVideoTrack(source, { frameRate: framesPerSecond })
  await output.start()
  const [width, height] = [columns * 16, rows * 16]
  const decoderConfig = { codec: 'avc1.42c01e', codedWidth: width, codedHeight: height, description: decoderRecord() }
  for (let frame = 0; frame < seconds * framesPerSecond; frame += 1) {
    const packet = new EncodedPacket(sized(picture(frame, framesPerSecond)), 'key', frame / framesPerSecond, 1 / framesPerSecond)
    await source.add(packet, { decoderConfig })
  }
  await output.finalize()
  return new Uint8Array(output.target.buffer ?? new ArrayBuffer(0))
}

/** One picture that needs no other (H.264 §7.3.3, §7.3.5). */
function picture(frame: number, framesPerSecond: number): Uint8Array {
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
  let pending = head
  for (let block = 0; block < columns * rows; block += 1) {
    bytes.push(...packed(`${pending}${unsigned(25).join('')}`))
    pending = ''
    for (let pixel = 0; pixel < 256; pixel += 1) bytes.push(luma(block, { pixel, frame }))
    for (let pixel = 0; pixel < 128; pixel += 1) bytes.push(pixel < 64 ? chroma(frame, framesPerSecond) : 128)
  }
  return unit(0x65, [...bytes, 0x80])
}

function luma(block: number, { pixel, frame }: { readonly pixel: number; readonly frame: number }): number {
  const across = (block % columns) * 16 + (pixel % 16)
  return Math.abs(across - ((frame * 3) % (columns * 16))) < 4 ? 235 : 64 + Math.floor(block / columns) * 24
}

function chroma(frame: number, framesPerSecond: number): number {
  return 64 + ((Math.floor(frame / framesPerSecond) * 29) % 128)
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
  const bytes = [head]
  let zeros = 0
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      bytes.push(3)
      zeros = 0
    }
    bytes.push(byte)
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return Uint8Array.from(bytes)
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
