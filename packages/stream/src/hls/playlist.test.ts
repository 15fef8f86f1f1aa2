import { createDecipheriv } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHlsKeys } from './keys.ts'
import { keyedPlaylist, parsePlaylist, periodOf } from './playlist.ts'

const recording = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.000000,
seg7.m4s
#EXTINF:1.9999999991,a title
seg8.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init2.mp4"
#EXTINF:2,
seg9.m4s
#EXTINF:0.5,
seg10.m4s
#EXT-X-ENDLIST
`

const keys = createHlsKeys({ secret: 'a secret of the seller, which is long enough', programme: 'film', segmentsPerKey: 2 })
const keyUri = (period: number) => `/keys/${period}`

describe('a playlist', () => {
  it('says how long every segment is, exactly, and which number it has', () => {
    const { segments } = parsePlaylist(recording)
    expect([...segments.values()]).toEqual([
      { uri: 'seg7.m4s', number: 7, length: 2_000_000_000n },
      { uri: 'seg8.m4s', number: 8, length: 2_000_000_000n },
      { uri: 'seg9.m4s', number: 9, length: 2_000_000_000n },
      { uri: 'seg10.m4s', number: 10, length: 500_000_000n },
    ])
  })

  it('is sold by keys: one for every period, none for what initialises a decoder', () => {
    const text = keyedPlaylist(parsePlaylist(recording), { segmentsPerKey: 2, keyUri, segmentUri: ({ number }) => `e${number}.bin` })
    expect(text).toMatchInlineSnapshot(`
      "#EXTM3U
      #EXT-X-VERSION:7
      #EXT-X-TARGETDURATION:2
      #EXT-X-MEDIA-SEQUENCE:7
      #EXT-X-MAP:URI="init.mp4"
      #EXT-X-KEY:METHOD=AES-128,URI="/keys/3"
      #EXTINF:2.000000,
      e7.bin
      #EXT-X-KEY:METHOD=AES-128,URI="/keys/4"
      #EXTINF:1.9999999991,a title
      e8.bin
      #EXT-X-DISCONTINUITY
      #EXT-X-KEY:METHOD=NONE
      #EXT-X-MAP:URI="init2.mp4"
      #EXT-X-KEY:METHOD=AES-128,URI="/keys/4"
      #EXTINF:2,
      e9.bin
      #EXT-X-KEY:METHOD=AES-128,URI="/keys/5"
      #EXTINF:0.5,
      e10.bin
      #EXT-X-ENDLIST
      "
    `)
  })

  it('is refused where it is none, or where a part of it would stay readable', () => {
    const bad = expect.objectContaining({ code: 'stream/bad-playlist' })
    const broken = [
      '',
      'seg1.ts',
      '#EXTM3U\n#EXT-X-ENDLIST',
      '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8',
      '#EXTM3U\nseg1.ts',
      '#EXTM3U\n#EXTINF:-1,\nseg1.ts',
      '#EXTM3U\n#EXTINF:1e9,\nseg1.ts',
      '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n#EXTINF:1,\nseg1.ts',
    ]
    for (const text of broken) expect(() => parsePlaylist(text)).toThrow(bad)
    const tags = ['#EXT-X-KEY:METHOD=NONE', '#EXT-X-BYTERANGE:10@0', '#EXT-X-PART:DURATION=1,URI="p"', '#EXT-X-I-FRAMES-ONLY']
    for (const tag of tags) {
      const playlist = parsePlaylist(`#EXTM3U\n${tag}\n#EXTINF:1,\nseg1.ts`)
      expect(() => keyedPlaylist(playlist, { segmentsPerKey: 1, keyUri })).toThrow(bad)
    }
    expect(() => keyedPlaylist(parsePlaylist(recording), { segmentsPerKey: 1, keyUri: () => 'a"b' })).toThrow(bad)
  })

  it('is read or refused, whatever it is', () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom('#EXTINF:1,', '#EXTINF:0.000000001', '#EXT-X-MEDIA-SEQUENCE:3', 'a.ts', '#EXT-X-MAP:URI="i"'),
    )
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          const playlist = parsePlaylist(['#EXTM3U', ...lines].join('\n'))
          expect(playlist.segments.size).toBeGreaterThan(0)
          keyedPlaylist(playlist, { segmentsPerKey: 2, keyUri })
        } catch (error) {
          expect(error).toMatchObject({ code: 'stream/bad-playlist' })
        }
      }),
    )
  })
})

describe('the keys of a programme', () => {
  const segment = (number: number) => Buffer.from(`segment ${number} `.repeat(40))
  // As a player does it (RFC 8216 §5.2): the vector is the segment's number.
  const open = (encrypted: Uint8Array, { key, number }: { key: Uint8Array; number: number }): Buffer => {
    const iv = Buffer.alloc(16)
    iv.writeBigUInt64BE(BigInt(number), 8)
    const decipher = createDecipheriv('aes-128-cbc', key, iv)
    return Buffer.concat([decipher.update(encrypted), decipher.final()])
  }

  it('open the segments of their period, and no others', async () => {
    for (const number of [7, 8, 9, 10]) {
      const encrypted = await keys.encrypt(segment(number), { number })
      expect(Buffer.from(encrypted).includes('segment')).toBe(false)
      expect(open(encrypted, { key: await keys.key(periodOf(number, 2)), number })).toEqual(segment(number))
      const next = await keys.key(periodOf(number, 2) + 1)
      const wrong = await Promise.resolve()
        .then(() => open(encrypted, { key: next, number }).equals(segment(number)))
        .catch(() => false)
      expect(wrong).toBe(false)
    }
  })

  it('are the same on every instance, and others for another programme or secret', async () => {
    const made = { secret: 'a secret of the seller, which is long enough', programme: 'film', segmentsPerKey: 2 }
    const others = [
      { ...made, programme: 'film2' },
      { ...made, segmentsPerKey: 3 },
      { ...made, secret: 'another secret of the seller, long enough' },
    ]
    const hex = async (options: typeof made) => Buffer.from(await createHlsKeys(options).key(3)).toString('hex')
    expect(await hex(made)).toBe(Buffer.from(await keys.key(3)).toString('hex'))
    expect(new Set(await Promise.all([made, ...others].map(hex))).size).toBe(4)
    expect(() => createHlsKeys({ ...made, secret: 'short' })).toThrow(expect.objectContaining({ code: 'config/weak-secret' }))
  })
})
