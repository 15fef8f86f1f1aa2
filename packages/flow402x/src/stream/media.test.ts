import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, expect, it } from 'vitest'
import { sampleVideo } from '../dev/sample-video.ts'
import { mediaOf } from './media.ts'

const folder = await mkdtemp(join(tmpdir(), 'flow402x-media-'))
afterAll(() => rm(folder, { recursive: true }))

const put = async (name: string, bytes: Uint8Array) => {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

it('reads from a recording how long it is', async () => {
  verifies('FS1-MEDIA-CLOCK')
  const bytes = await sampleVideo({ seconds: 3 })
  const path = await put('film.mp4', bytes)
  expect(await mediaOf(path)).toEqual({ size: BigInt(bytes.length), length: 3_000_000_000n })
  const longer = await sampleVideo({ seconds: 5 })
  await put('film.mp4', longer)
  expect(await mediaOf(path)).toEqual({ size: BigInt(longer.length), length: 5_000_000_000n })
  expect(await mediaOf(await put('tune.wav', wave(2)))).toMatchObject({ length: 2_000_000_000n })
})

it('sells nothing of what it cannot measure', async () => {
  const unread = expect.objectContaining({ code: 'stream/unread-file' })
  await expect(mediaOf(await put('notes.txt', Buffer.from('no recording')))).rejects.toEqual(unread)
  await expect(mediaOf(await put('empty.mp4', new Uint8Array()))).rejects.toEqual(unread)
  await expect(mediaOf(join(folder, 'absent.mp4'))).rejects.toEqual(unread)
  const cut = (await sampleVideo({ seconds: 3 })).subarray(0, 200)
  await expect(mediaOf(await put('cut.mp4', cut))).rejects.toEqual(unread)
})

/** Silence, 8,000 samples of one byte a second. */
function wave(seconds: number): Uint8Array {
  const size = 8000 * seconds
  const head = Buffer.alloc(44)
  head.write('RIFF', 0)
  head.writeUInt32LE(36 + size, 4)
  head.write('WAVEfmt ', 8)
  for (const [at, value] of [
    [16, 16],
    [24, 8000],
    [28, 8000],
    [40, size],
  ] as const)
    head.writeUInt32LE(value, at)
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 1],
    [34, 8],
  ] as const)
    head.writeUInt16LE(value, at)
  head.write('data', 36)
  return Buffer.concat([head, Buffer.alloc(size, 128)])
}
